/** A gateway whose keys, tokens and passwords are replaced and taken back while it runs. */
import { defineConfig, env, file } from 'postern';
import { console } from 'postern/plugins/console';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';

export default defineConfig({
  listen: { port: Number(env('PORT', '6432')) },
  // Operators revoke tokens: they show one of their own, whose claim `groups` has `dba`.
  admin: { port: Number(env('ADMIN_PORT', '9432')), operators: { claim: 'groups', value: 'dba' } },
  databases: {
    orders: {
      host: env('ORDERS_HOST', '127.0.0.1'),
      port: Number(env('ORDERS_PORT', '5432')),
      // Read at each login to PostgreSQL: a changed password needs no restart.
      login: { kind: 'password', passwords: { reader: file('secrets/reader') } },
    },
  },
  plugins: [
    jwt({
      issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: 'jwks.json' }],
      // Without a file a restart would forget what was revoked.
      revocations: { file: 'revocations.json' },
    }),
    roles({ claim: 'role', allow: ['reader'] }),
    console(),
  ],
});

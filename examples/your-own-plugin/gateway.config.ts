/** Every database of one server, for people with the role `writer`, and a plugin of our own. */
import { defineConfig, env } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';
import { noDdl } from './no-ddl.ts';

export default defineConfig({
  listen: { port: Number(env('PORT', '6432')) },
  databases: {
    '*': {
      host: env('DATABASE_HOST', '127.0.0.1'),
      port: Number(env('DATABASE_PORT', '5432')),
      login: { kind: 'password', passwords: { writer: env('WRITER_PASSWORD') } },
    },
  },
  plugins: [
    jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: 'jwks.json' }] }),
    roles({ claim: 'role', allow: ['writer'] }),
    noDdl({ migrators: ['migrations'] }),
  ],
});

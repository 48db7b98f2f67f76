/** Nobody has access until they ask for it: for a database, as a role, for a time, with a reason. The trail says who did. */
import { defineConfig, env } from 'postern';
import { access, ownIssuer } from 'postern/plugins/access';
import { audit } from 'postern/plugins/audit';
import { console } from 'postern/plugins/console';
import { jwt } from 'postern/plugins/jwt';
import { limits } from 'postern/plugins/limits';
import { operations } from 'postern/plugins/operations';
import { roles } from 'postern/plugins/roles';

const port = Number(env('PORT', '6432'));
const people = 'https://id.example';
const own = ownIssuer({ issuer: 'https://postern.example', keys: 'access.keys.json' });

export default defineConfig({
  listen: { port },
  admin: { port: Number(env('ADMIN_PORT', '9432')), operators: { claim: 'groups', value: 'dba' } },
  databases: {
    orders: {
      host: env('ORDERS_HOST', '127.0.0.1'),
      port: Number(env('ORDERS_PORT', '5432')),
      login: {
        kind: 'password',
        passwords: { reader: env('READER_PASSWORD'), writer: env('WRITER_PASSWORD') },
      },
    },
  },
  plugins: [
    audit({ sink: { file: 'audit.jsonl' } }),
    operations(),
    jwt({ issuers: [{ issuer: people, audience: 'postern', jwks: 'jwks.json' }, own] }),
    // A token of the people's issuer opens nothing by itself: it only asks.
    roles({ claim: 'role', allow: ['reader', 'writer'], issuer: own.issuer }),
    limits(),
    access({
      issuer: own,
      callers: { issuers: [people] },
      policy: [
        {
          who: { claim: 'groups', value: 'dev' },
          databases: ['orders'],
          roles: ['reader'],
          maxDuration: '8h',
        },
        { who: { claim: 'groups', value: 'dba' }, databases: ['orders'], roles: ['reader', 'writer'] },
      ],
      connect: { host: 'localhost', port, sslmode: 'disable' },
    }),
    console(),
  ],
});

/** Databases on two servers behind one gateway, and two ways in: people read from outside, jobs on this host may write. */
import { defineConfig, env, file, only } from 'postern';
import type { DatabaseOptions } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';

const main = {
  host: env('MAIN_HOST', 'main-db'),
  port: Number(env('MAIN_PORT', '5432')),
  // Read again at each login: a changed password needs no restart.
  login: { kind: 'password', passwords: { reader: file('secrets/reader'), writer: file('secrets/writer') } },
} satisfies DatabaseOptions;

export default defineConfig({
  listen: [
    {
      name: 'people',
      host: '0.0.0.0',
      port: Number(env('PEOPLE_PORT', '6432')),
      tls: { cert: 'tls/server.crt', key: 'tls/server.key' },
      plaintext: 'never',
    },
    { name: 'jobs', host: '127.0.0.1', port: Number(env('JOBS_PORT', '6433')) },
  ],
  databases: {
    orders: { ...main, pool: { size: 50 } },
    // Clients say `stock`, the server says `warehouse`.
    stock: { ...main, database: 'warehouse' },
    // Any other name is the name of a database on the archive, which has no writer.
    '*': {
      host: env('ARCHIVE_HOST', 'archive-db'),
      port: Number(env('ARCHIVE_PORT', '5432')),
      login: { kind: 'password', passwords: { reader: file('secrets/archive-reader') } },
    },
  },
  admin: { port: Number(env('ADMIN_PORT', '9432')) },
  plugins: [
    jwt({
      issuers: [
        {
          issuer: 'https://id.example',
          audience: 'postern',
          jwks: env('JWKS', 'https://id.example/jwks.json'),
        },
      ],
    }),
    ...only({ listeners: ['people'] }, roles({ claim: 'role', allow: ['reader'] })),
    ...only({ listeners: ['jobs'] }, roles({ claim: 'role', allow: ['reader', 'writer'] })),
  ],
});

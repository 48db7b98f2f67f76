/** The config that `npm start` runs: one database, tokens of one issuer, two roles. Each value has an environment variable. */
import { defineConfig, env } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';

const reader = env('DEMO_READER', 'reader');
const writer = env('DEMO_WRITER', 'writer');

export default defineConfig({
  listen: { host: '127.0.0.1', port: Number(env('DEMO_PORT', '6432')) },
  databases: {
    // Clients ask for `demo`; the gateway logs in as the role that the token names, never as anybody else.
    demo: {
      host: env('DEMO_DATABASE_HOST', '127.0.0.1'),
      port: Number(env('DEMO_DATABASE_PORT', '5432')),
      database: env('DEMO_DATABASE', 'demo'),
      login: {
        kind: 'password',
        passwords: { [reader]: env('DEMO_READER_PASSWORD', ''), [writer]: env('DEMO_WRITER_PASSWORD', '') },
      },
    },
  },
  plugins: [
    jwt({
      issuers: [
        {
          issuer: env('DEMO_ISSUER', 'https://demo.postern.example'),
          audience: 'postern',
          jwks: env('DEMO_JWKS', 'jwks.json'),
        },
      ],
    }),
    roles({ claim: 'role', map: { reader, writer } }),
  ],
  drainTimeout: '5s',
});

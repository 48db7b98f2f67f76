/** One database behind TLS, the tokens of one issuer, two roles. */
import { defineConfig, env } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';

const tls = { cert: 'tls/server.crt', key: 'tls/server.key' };
const passwords = { reader: env('READER_PASSWORD'), writer: env('WRITER_PASSWORD') };
const jwks = env('JWKS', 'https://id.example/jwks.json');

export default defineConfig({
  listen: { host: '0.0.0.0', port: Number(env('PORT', '6432')), tls, plaintext: 'never' },
  databases: {
    orders: {
      host: env('ORDERS_HOST'),
      port: Number(env('ORDERS_PORT', '5432')),
      login: { kind: 'password', passwords },
    },
  },
  plugins: [
    jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks }] }),
    roles({ claim: 'role', allow: ['reader', 'writer'] }),
  ],
});

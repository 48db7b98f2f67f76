/** One database behind TLS, the tokens of one issuer, two roles. */
import { defineConfig, env } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';

export default defineConfig({
  listen: {
    host: '0.0.0.0',
    port: Number(env('PORT', '6432')),
    tls: { cert: 'tls/server.crt', key: 'tls/server.key' },
    plaintext: 'never',
  },
  databases: {
    orders: {
      // Off this machine the way to PostgreSQL is TLS with its host name verified; `tls: { ca }` names a private authority.
      host: env('ORDERS_HOST'),
      port: Number(env('ORDERS_PORT', '5432')),
      login: {
        kind: 'password',
        passwords: { reader: env('READER_PASSWORD'), writer: env('WRITER_PASSWORD') },
      },
    },
  },
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
    roles({ claim: 'role', allow: ['reader', 'writer'] }),
  ],
});

/** A gateway that runs as a service: TLS and secrets in files that are renewed, health checks, and maybe a proxy in front. */
import { defineConfig, env, file } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';

const proxies = env('PROXIES', '');
const jwks = env('JWKS', 'https://id.example/jwks.json');

export default defineConfig({
  listen: {
    host: '0.0.0.0',
    port: Number(env('PORT', '6432')),
    tls: { cert: 'tls/server.crt', key: 'tls/server.key' },
    plaintext: 'never',
    // Connections from these networks begin with a PROXY header, which has the client's address.
    ...(proxies !== '' && { proxyProtocol: { trusted: proxies.split(',') } }),
  },
  databases: {
    orders: {
      host: env('ORDERS_HOST'),
      port: Number(env('ORDERS_PORT', '5432')),
      login: { kind: 'password', passwords: { reader: file('secrets/reader') } },
    },
  },
  admin: { host: env('ADMIN_HOST', '127.0.0.1'), port: Number(env('ADMIN_PORT', '9432')) },
  plugins: [
    jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks }] }),
    roles({ claim: 'role', allow: ['reader'] }),
  ],
  // How long a transaction may go on after SIGTERM.
  drainTimeout: '30s',
});

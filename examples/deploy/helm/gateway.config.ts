/** The config of a gateway in Kubernetes: secrets in folders that are renewed in place, times from the chart. */
import { defineConfig, env, file } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { limits } from 'postern/plugins/limits';
import { roles } from 'postern/plugins/roles';
import { tracing } from 'postern/plugins/tracing';

const secrets = env('SECRETS', '/secrets');
const issuer = env('ISSUER', 'https://id.example');

export default defineConfig({
  listen: {
    host: '0.0.0.0',
    port: Number(env('PORT', '6432')),
    tls: { cert: `${secrets}/tls/server.crt`, key: `${secrets}/tls/server.key` },
    plaintext: 'never',
  },
  databases: {
    orders: {
      host: env('ORDERS_HOST'),
      port: Number(env('ORDERS_PORT', '5432')),
      login: {
        kind: 'password',
        passwords: {
          reader: file(`${secrets}/passwords/reader`),
          writer: file(`${secrets}/passwords/writer`),
        },
      },
    },
  },
  admin: { host: env('ADMIN_HOST', '127.0.0.1'), port: Number(env('ADMIN_PORT', '9432')) },
  fleet: {
    name: 'prod',
    instance: env('INSTANCE', 'gateway'),
    secret: file(`${secrets}/fleet/secret`),
    store: { kind: 'redis', url: env('STORE'), password: file(`${secrets}/fleet/store-password`) },
  },
  plugins: [
    tracing({ metrics: { public: true } }),
    jwt({ issuers: [{ issuer, audience: 'postern', jwks: env('JWKS', `${issuer}/jwks.json`) }] }),
    roles({ claim: 'role', allow: ['reader', 'writer'] }),
    limits({ maxConnections: { subject: 20 } }),
  ],
  // From the values of the chart, which knows by them how long Kubernetes has to wait.
  drainDelay: `${Number(env('DRAIN_DELAY_SECONDS', '0'))}s`,
  drainTimeout: `${Number(env('DRAIN_TIMEOUT_SECONDS', '30'))}s`,
});

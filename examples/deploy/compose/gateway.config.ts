/** One of two gateways behind HAProxy, which act as one. Keys and passwords are those of `setup.js`. */
import { defineConfig, env, file } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { limits } from 'postern/plugins/limits';
import { operations } from 'postern/plugins/operations';
import { roles } from 'postern/plugins/roles';
import { tracing } from 'postern/plugins/tracing';

const keys = env('KEYS', '/keys');
const orders = {
  host: ['primary', 'replica'],
  database: 'orders',
  tls: { ca: `${keys}/ca.crt` },
  login: {
    kind: 'password',
    passwords: { reader: file(`${keys}/secrets/reader`), writer: file(`${keys}/secrets/writer`) },
  },
} as const;

export default defineConfig({
  listen: {
    host: '0.0.0.0',
    port: Number(env('PORT', '6432')),
    tls: { cert: `${keys}/gateway/server.crt`, key: `${keys}/gateway/server.key` },
    plaintext: 'never',
    proxyProtocol: { trusted: [env('PROXIES')] },
  },
  databases: {
    orders: { ...orders, pool: { mode: 'transaction', size: 20 } },
    'orders-read': { ...orders, target: 'prefer-replica', pool: { mode: 'transaction', size: 20 } },
  },
  // What the two count and know together: the limit below, revocations, pauses, cancel keys.
  fleet: {
    name: 'laptop',
    instance: env('HOSTNAME', 'gateway'),
    secret: file(`${keys}/secrets/fleet`),
    store: {
      kind: 'redis',
      url: env('STORE', 'redis://valkey:6379'),
      password: file(`${keys}/secrets/valkey`),
    },
    // These are the defaults.
    away: { revocations: 'refuse', limits: 'local' },
    stale: '10s',
  },
  // HAProxy asks here, from another container.
  admin: {
    host: '0.0.0.0',
    port: Number(env('ADMIN_PORT', '9432')),
    operators: { claim: 'groups', value: 'dba' },
  },
  plugins: [
    operations(),
    tracing({ metrics: { public: true } }),
    jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: `${keys}/jwks.json` }] }),
    roles({ claim: 'role', allow: ['reader', 'writer'] }),
    limits({ maxConnections: { subject: 10 } }),
  ],
  // Longer than HAProxy needs to see that `/readyz` fails.
  drainDelay: '5s',
  drainTimeout: '30s',
});

/** A gateway that is watched: metrics for Prometheus, traces for a collector, a line per session. */
import { defineConfig, env } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';
import { tracing } from 'postern/plugins/tracing';

const jwks = env('JWKS', 'https://id.example/jwks.json');

export default defineConfig({
  listen: { port: Number(env('PORT', '6432')) },
  // Metrics name databases, and no person: whoever reaches this address may read them.
  admin: { host: '127.0.0.1', port: Number(env('ADMIN_PORT', '9432')) },
  databases: {
    orders: {
      host: env('ORDERS_HOST'),
      port: Number(env('ORDERS_PORT', '5432')),
      login: { kind: 'password', passwords: { reader: env('READER_PASSWORD') } },
    },
  },
  plugins: [
    tracing({
      traces: { endpoint: env('OTLP_ENDPOINT', 'http://localhost:4318'), ratio: 0.01 },
      metrics: { public: true },
      accessLog: { file: 'access.log' },
    }),
    jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks }] }),
    roles({ claim: 'role', allow: ['reader'] }),
  ],
});

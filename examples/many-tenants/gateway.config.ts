/** Many tenants in one table: each sees its own rows, whatever SQL its clients send, and they share few connections. */
import { defineConfig, env, file } from 'postern';
import { claims } from 'postern/plugins/claims';
import { jwt } from 'postern/plugins/jwt';
import { limits } from 'postern/plugins/limits';
import { roles } from 'postern/plugins/roles';
import { tenant } from 'postern/plugins/tenant';

export default defineConfig({
  listen: { port: Number(env('PORT', '6432')) },
  databases: {
    orders: {
      host: env('ORDERS_HOST', '127.0.0.1'),
      port: Number(env('ORDERS_PORT', '5432')),
      login: { kind: 'password', passwords: { writer: env('WRITER_PASSWORD') } },
      pool: { mode: 'transaction', size: 5 },
    },
  },
  plugins: [
    jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: 'jwks.json' }] }),
    roles({ claim: 'role', allow: ['writer'] }),
    tenant({ claim: 'tenant' }),
    // The database has the same secret, and believes nobody else.
    claims({ key: file('claims.key'), select: ['sub', 'tenant'] }),
    limits({ maxConnections: { tenant: 50 }, timeouts: { statement: '30s', idleInTransaction: '1m' } }),
  ],
});

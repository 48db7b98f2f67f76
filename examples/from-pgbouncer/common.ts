/** What stays the same at every step: where clients connect, and the database. */
import { env } from 'postern';

const tls = { cert: 'tls/server.crt', key: 'tls/server.key' };

export const listen = { host: '127.0.0.1', port: Number(env('PORT', '6433')), tls };

export const databases = {
  orders: {
    host: env('ORDERS_HOST', 'localhost'),
    port: Number(env('ORDERS_PORT', '5432')),
    // The gateway logs in by itself: what a client has proven is no login at PostgreSQL, as it is with PgBouncer.
    login: { kind: 'password', passwords: { shop: env('SHOP_PASSWORD') } },
    pool: { mode: 'transaction' },
  },
} as const;

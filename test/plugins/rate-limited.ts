/** Gateways with rate limits before a real PostgreSQL, and clients that run into them. */
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { Client } from 'pg';
import type { ClientConfig, DatabaseError } from 'pg';
import { onTestFinished } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { AnyPlugin, GatewayConfig } from '../../core/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { rateLimit } from '../../plugins/rate-limit/index.ts';
import type { RateLimitOptions } from '../../plugins/rate-limit/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';

const keys = issuer({ algorithms: ['ES256'] });

type Claims = Readonly<Record<string, unknown>>;

/** A token of the issuer that these gateways trust. */
export const sign = (claims: Claims = {}): string => keys.sign(claims);

/** What a test chooses. */
export interface Setting {
  readonly pool?: 'session' | 'transaction';
  /** Behind the others; `rate-limit` stands first. */
  readonly plugins?: readonly AnyPlugin[];
}

function configOf(
  options: RateLimitOptions,
  { pool: mode = 'session', plugins = [] }: Setting,
): GatewayConfig {
  const entry = databaseOf(sharedPostgres(), { pool: { mode, size: 50, idleTimeout: '100ms' } });
  return {
    listen: { port: 0 },
    databases: { orders: entry, archive: entry },
    admin: { port: 0 },
    plugins: [
      rateLimit(options),
      jwt({ issuers: [keys.options] }),
      roles({ claim: 'role', allow: ['reader', 'writer'] }),
      ...plugins,
    ],
  };
}

/** Starts one until the test ends. */
export async function limited(options: RateLimitOptions, setting: Setting = {}): Promise<RunningGateway> {
  const running = await startGateway(configOf(options, setting));
  onTestFinished(() => running.gateway.stop());
  return running;
}

/** Puts other limits in force. */
export async function reload({ gateway }: RunningGateway, options: RateLimitOptions): Promise<void> {
  await gateway.reload(checkConfig(configOf(options, {}), tmpdir()));
}

/** What differs from alice's login to `orders`. */
export type Login = Claims & {
  readonly password?: string;
  readonly from?: string;
  readonly database?: string;
};

/** Logs in until the test ends; errors outside of queries are swallowed. */
export async function login({ port }: RunningGateway, how: Login = {}): Promise<Client> {
  const { password, from, database = 'orders', ...claims } = how;
  const options: ClientConfig & { localAddress?: string } = {
    host: '127.0.0.1',
    port,
    user: '_',
    database,
    password: password ?? sign(claims),
  };
  const client = new Client(options);
  if (from !== undefined) {
    const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
    const connect = stream.connect.bind(stream) as (to: object) => typeof stream;
    stream.connect = ((to: number, host: string) => connect({ port: to, host, localAddress: from })) as never;
  }
  client.on('error', () => {});
  await client.connect();
  onTestFinished(() => client.end().catch(() => {}));
  return client;
}

/** How something was refused: SQLSTATE, message, and the hint if there is one. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'it was not refused',
    ({ code, message, hint }: DatabaseError) =>
      `${code}: ${message}${hint === undefined ? '' : ` (${hint})`}`,
  );
}

/** What `/readyz?verbose` says. */
export async function readiness({ adminPort }: RunningGateway): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/readyz?verbose`);
  return { status: response.status, text: await response.text() };
}

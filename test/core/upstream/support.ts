/** What the tests of the server side share: requests as the gateway makes them, and servers that follow a script. */
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import type { PoolOptions } from '../../../core/contract/pool.ts';
import { GatewayError } from '../../../core/contract/errors.ts';
import { parseDatabase, parseRole, parseSchema } from '../../../core/contract/names.ts';
import type { Startup, Upstream } from '../../../core/contract/session.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { Pool } from '../../../core/upstream/pool/pool.ts';
import type { PoolSetup } from '../../../core/upstream/pool/pool.ts';
import type { AcquireRequest } from '../../../core/upstream/pool/checkout-request.ts';
import type { Postgres } from '../../support/postgres.ts';
import { BodyReader } from '../../../core/wire/body.ts';
import { encodeQuery } from '../../../core/wire/to-server.ts';

/** What a test says about the session; everything else is plain. */
export interface CheckoutRequest {
  readonly role?: string;
  readonly database?: string;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly settings?: Readonly<Record<string, string>>;
  readonly schemas?: readonly string[];
  readonly onCheckout?: Upstream['onCheckout'];
  readonly replication?: string;
  readonly signal?: AbortSignal;
  /** Default `alice`. */
  readonly fingerprint?: string;
  readonly holder?: object;
}

/** A request of a session. */
export function request(checkout: CheckoutRequest = {}): AcquireRequest {
  const { role = 'reader', database = 'postgres', parameters = {}, settings = {}, schemas = [] } = checkout;
  const startup: Startup = { user: '_', database, parameters };
  const upstream: Upstream = {
    entry: 'main',
    database: parseDatabase(database),
    role: parseRole(role),
    settings,
    schemas: schemas.map(parseSchema),
    onCheckout: checkout.onCheckout ?? [],
  };
  const { replication, signal = new AbortController().signal, fingerprint = 'alice', holder } = checkout;
  return { upstream, startup, replication, signal, fingerprint, ...(holder && { holder }) };
}

/** The entry of a server whose roles log in by password. */
export const entryOf = ({ host, port, passwords }: Postgres, pool: PoolOptions): DatabaseOptions => ({
  host,
  port,
  login: { kind: 'password', passwords },
  pool,
});

/** A pool for one database entry. */
export function poolOf(database: DatabaseOptions, timeouts?: PoolSetup['timeouts']): Pool {
  return new Pool({ entry: 'main', database, ...(timeouts && { timeouts }) });
}

/** Acquires, hands the connection to `use`, gives it back and closes the pool; asserts nothing. */
export async function withConnection<T>(
  database: DatabaseOptions,
  checkout: CheckoutRequest,
  use: (connection: ServerConnection) => Promise<T>,
): Promise<T> {
  const pool = poolOf(database);
  try {
    return await use(await pool.acquire(request(checkout)));
  } finally {
    await pool.close();
  }
}

/** The error an acquire ends with, nothing being lent, opened or waited for afterwards. */
export async function refusal(
  database: DatabaseOptions,
  checkout: CheckoutRequest = {},
  timeouts?: PoolSetup['timeouts'],
): Promise<GatewayError> {
  const pool = poolOf(database, timeouts);
  const error: unknown = await pool.acquire(request(checkout)).then(
    () => new Error('the connection was handed out'),
    (reason: unknown) => reason,
  );
  const { lent, opening, waiting } = pool;
  await pool.close();
  if (lent + opening + waiting !== 0)
    throw new Error(`the pool still counts ${lent}, ${opening} and ${waiting}`);
  if (error instanceof GatewayError) return error;
  throw error;
}

/** All that the operator's log would say, from the outermost error inwards. */
export function causes(error: unknown): string {
  return error instanceof Error ? `${error.message}\n${causes(error.cause)}` : '';
}

/** Sends one Query and resolves with the rows in text form once the server is ready again; rejects with its error. */
export function query({ channel }: ServerConnection, sql: string): Promise<(string | null)[][]> {
  return new Promise((resolve, reject) => {
    let held = Buffer.alloc(0);
    const rows: (string | null)[][] = [];
    const errors: string[] = [];
    const handle = (type: string, body: Buffer): void => {
      if (type === 'D') rows.push(columns(body));
      if (type === 'E') errors.push(body.toString());
      if (type !== 'Z') return;
      channel.pause();
      if (errors.length > 0) reject(new Error(errors.join()));
      else resolve(rows);
    };
    channel.listen({
      bytes(chunk) {
        held = Buffer.concat([held, chunk]);
        while (held.length >= 5 && held.length > held.readUInt32BE(1)) {
          const end = held.readUInt32BE(1) + 1;
          const [type, body] = [held.toString('latin1', 0, 1), held.subarray(5, end)];
          held = held.subarray(end);
          handle(type, body);
        }
      },
      drained() {},
      closed: () => reject(new Error(`the connection is gone: ${errors.join()}`)),
    });
    channel.write(encodeQuery(sql));
    channel.resume();
  });
}

function columns(body: Buffer): (string | null)[] {
  const reader = new BodyReader(body);
  return Array.from({ length: reader.uint16() }, () => reader.sized()?.toString() ?? null);
}

/** A server that does what a test says, and counts who is connected. */
export interface ScriptedServer {
  readonly port: number;
  /** Sockets open now. */
  readonly sockets: ReadonlySet<Socket>;
  /** Connections accepted so far. */
  readonly accepted: number;
  stop(): Promise<void>;
}

/** Starts one on loopback; `script` gets every connection. */
export async function scripted(script: (socket: Socket) => void): Promise<ScriptedServer> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = net.createServer((socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    script(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    get accepted() {
      return accepted;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

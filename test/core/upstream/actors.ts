/** Servers that say what a test wants them to be, and pools in front of them. */
import { afterEach } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import type { PoolOptions } from '../../../core/contract/pool.ts';
import type { Logger, Upstream } from '../../../core/contract/session.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { Pool } from '../../../core/upstream/pool/pool.ts';
import { ERROR, KEY, LOGGED_IN, OK, READY, message, row, verified, VERIFIED } from './server-script.ts';
import { query, request, scripted } from './support.ts';
import type { ScriptedServer } from './support.ts';

/** What a server is at the moment; `strange` refuses logins. */
export type Role = 'primary' | 'replica' | 'silent' | 'starting' | 'strange';

export interface Actor extends ScriptedServer {
  role: Role;
  timeline: number;
  /** Logins so far, and looks. */
  logins: number;
  looks: number;
  /** It refuses logins from now on, and is what it is to whoever is in. */
  refuses: boolean;
  /** What its logins report as in_hot_standby. Default: nothing, as before version 14. */
  reports: 'on' | 'off' | undefined;
}

/** Done after each test, the last first. */
export const cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const undo of cleanUp.splice(0).toReversed()) await undo();
});

/** A server that logs everybody in, says what it is, and answers each query with its port. */
export async function actor(role: Role, timeline = 1): Promise<Actor> {
  const server = await scripted((socket) => {
    let started = false;
    socket.on('data', (chunk: Buffer) => {
      if (self.role === 'silent') return;
      const text = chunk.toString('latin1');
      if (!started) {
        started = true;
        self.logins += 1;
        if (self.role === 'starting')
          socket.end(ERROR('SFATAL\0C57P03\0Mthe database system is starting up\0\0'));
        else if (self.refuses || self.role === 'strange') socket.end(ERROR('SFATAL\0C28P01\0Mno\0\0'));
        else if (self.reports) socket.write(loggedIn(self.reports));
        else socket.write(LOGGED_IN);
      } else if (text.includes('looks what')) {
        self.looks += 1;
        const is =
          self.role === 'replica' ? row('true', null, '7', run) : row('false', hex(self.timeline), '7', run);
        socket.write(verified(is));
      } else if (text.includes('verifies its login')) {
        socket.write(verified(VERIFIED));
      } else if (text.includes('select port')) {
        socket.write(Buffer.concat([row(String(self.port)), message('C', 'SELECT 1\0'), READY]));
      }
    });
  });
  const self = Object.assign(Object.create(server) as ScriptedServer, {
    role,
    timeline,
    logins: 0,
    looks: 0,
    refuses: false,
    reports: undefined as Actor['reports'],
  });
  const run = String(server.port);
  cleanUp.push(() => server.stop());
  return self;
}

const loggedIn = (recovering: string): Buffer =>
  Buffer.concat([OK, message('S', 'in_hot_standby\0', `${recovering}\0`), KEY, READY]);

const hex = (timeline: number): string => timeline.toString(16).padStart(8, '0');

export interface Line {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Options {
  readonly pool?: PoolOptions;
  readonly queueMs?: number;
  readonly host?: DatabaseOptions['host'];
  readonly port?: number;
  readonly target?: Upstream['target'];
}

export function poolAt(
  actors: readonly Actor[],
  { queueMs = 20_000, ...more }: Options = {},
): { pool: Pool; lines: Line[] } {
  const lines: Line[] = [];
  const write = (fields: object, text: string): void =>
    void lines.push({ message: text, fields: { ...fields } });
  const log: Logger = { info: write, warn: write, error: write };
  const host = actors.map(({ port }) => ({ host: '127.0.0.1', port }));
  const { target, ...rest } = more;
  const database: DatabaseOptions = { host, login: { kind: 'trust' }, ...rest, ...(target && { target }) };
  const pool = new Pool({
    entry: 'main',
    database,
    log,
    timeouts: { queueMs, connectMs: 1_000, loginMs: 1_000 },
  });
  cleanUp.push(() => pool.close());
  return { pool, lines };
}

export function acquire(pool: Pool, target?: Upstream['target']): Promise<ServerConnection> {
  const wanted = request();
  return pool.acquire({ ...wanted, upstream: { ...wanted.upstream, ...(target && { target }) } });
}

export const portOf = async (connection: ServerConnection): Promise<number> =>
  Number((await query(connection, 'select port'))[0]?.[0]);

/** The port that a session of this target reaches, which leaves at once. */
export async function reached(pool: Pool, target?: Upstream['target']): Promise<number> {
  const connection = await acquire(pool, target);
  const port = await portOf(connection);
  await pool.release(connection, 'clean');
  return port;
}

export const saying = (lines: readonly Line[], text: string): readonly unknown[] =>
  lines.filter(({ message: said }) => said === text).map(({ fields }) => fields['port']);

/** Servers that kill, refuse, restart and fall silent under a pool. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import type { Logger } from '../../../core/contract/session.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { Pool } from '../../../core/upstream/pool/pool.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { entryOf, poolOf, query, request, scripted } from './support.ts';
import { LOGGED_IN, message, row, speaking, verified, VERIFIED } from './server-script.ts';

let postgres: OwnPostgres;

beforeAll(async () => {
  postgres = await startPostgres({ flags: { max_connections: '8', superuser_reserved_connections: '3' } });
});
afterAll(() => postgres.stop());

const entry = (more: Partial<DatabaseOptions> = {}): DatabaseOptions => ({
  ...entryOf(postgres, { size: 4 }),
  ...more,
});

const kill = (role: string): Promise<unknown> =>
  postgres.sql(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`);

/** Lends so many at the same time and takes them all back. */
async function fill(pool: Pool, count: number): Promise<readonly number[]> {
  const lent = await Promise.all(Array.from({ length: count }, () => pool.acquire(request())));
  await Promise.all(lent.map((connection) => pool.release(connection, 'dirty')));
  await expect.poll(() => pool.resetting).toBe(0);
  return lent.map(({ pid }) => pid);
}

test('idle connections that the server ends are forgotten at once, and nobody notices', async () => {
  const pool = poolOf(entry());
  await fill(pool, 4);
  await kill('reader');
  await expect.poll(() => pool.size).toBe(0);
  expect(await query(await pool.acquire(request()), 'select 1')).toEqual([['1']]);
  await pool.close();
});

test('a connection that dies in the moment it is handed out is replaced', async () => {
  const pool = poolOf(entry());
  const parameters = { application_name: 'moment' };
  for (let round = 0; round < 20; round += 1) {
    await fill(pool, 3);
    const [, connection] = await Promise.all([kill('reader'), pool.acquire(request({ parameters }))]);
    // What was killed after its check-out is the relay's to tell.
    await query(connection, 'select 1').catch((error: unknown) =>
      expect(String(error)).toMatch(/57P01|gone/),
    );
    await pool.release(connection, 'close');
  }
  await pool.close();
});

test('after a restart of the server the pool serves again, with exact counts', async () => {
  const pool = poolOf(entry());
  const before = await fill(pool, 4);
  postgres.kill('SIGKILL');
  await expect.poll(() => pool.size).toBe(0);
  await expect(pool.acquire(request())).rejects.toMatchObject({ sqlstate: '08001' });
  await postgres.restart();
  const after = await fill(pool, 4);
  expect(after.some((pid) => before.includes(pid))).toBe(false);
  expect(pool).toMatchObject({ size: 4, idle: 4, lent: 0, opening: 0, waiting: 0 });
  await pool.close();
});

test('a server without room says so to the client, and idle connections serve on', async () => {
  const pool = poolOf(entry({ pool: { size: 20 } }));
  const lent: ServerConnection[] = [];
  const refusal = await (async (): Promise<unknown> => {
    for (;;) {
      const connection = await pool.acquire(request()).catch((error: unknown) => error as Error);
      if (connection instanceof Error) return connection;
      lent.push(connection);
    }
  })();
  expect(refusal).toMatchObject({ sqlstate: '53300' });
  expect(pool).toMatchObject({ size: lent.length, opening: 0, waiting: 0 });
  const [first] = lent;
  if (first) await pool.release(first, 'dirty');
  expect((await pool.acquire(request())).pid).toBe(first?.pid);
  await pool.close();
});

describe('a login that the server refuses', () => {
  interface Line {
    readonly level: string;
    readonly message: string;
    readonly fields: object;
  }

  function logged(): { log: Logger; lines: Line[] } {
    const lines: Line[] = [];
    const at = (level: string) => (fields: object, text: string) =>
      void lines.push({ level, message: text, fields });
    return { lines, log: { info: at('info'), warn: at('warn'), error: at('error') } };
  }

  test('is tried once per 30 s, refused at once meanwhile, told once in the log, and heals', async () => {
    let now = 0;
    const clock = { now: () => now, every: () => () => {} };
    const { log, lines } = logged();
    const passwords: Record<string, string> = { ...postgres.passwords, reader: 'wrong-canary' };
    const database = entry({ login: { kind: 'password', passwords: (role) => passwords[role] } });
    const pool = new Pool({ entry: 'main', database, clock, log });
    const tries = (): number =>
      postgres.log().split('password authentication failed for user "reader"').length - 1;
    const refused = (): Promise<void> =>
      expect(pool.acquire(request())).rejects.toMatchObject({
        sqlstate: '08004',
        message: "the database refused the gateway's login",
      });
    await Promise.all(Array.from({ length: 20 }, refused));
    // As many as are opened at the same time.
    const first = 4;
    await expect.poll(tries).toBe(first);
    await expect.poll(() => pool.opening).toBe(0);
    now = 29_999;
    await refused();
    expect(tries()).toBe(first);
    // Another role is none the wiser.
    await pool.release(await pool.acquire(request({ role: 'writer' })), 'dirty');
    now = 30_000;
    await Promise.all(Array.from({ length: 20 }, refused));
    await expect.poll(tries).toBe(first + 1);
    // Another password need not wait so long, but is not looked for at each login either.
    passwords['reader'] = postgres.passwords.reader;
    await refused();
    now = 31_000;
    await pool.release(await pool.acquire(request()), 'dirty');
    expect(lines.map(({ level }) => level)).toEqual(['error', 'info']);
    expect(lines[0]).toMatchObject({ fields: { entry: 'main', role: 'reader' } });
    expect(JSON.stringify(lines)).toContain('28P01');
    expect(JSON.stringify(lines)).not.toContain('canary');
    await pool.close();
  });
});

describe('strange servers', () => {
  const trust = (port: number): DatabaseOptions => ({ host: '127.0.0.1', port, login: { kind: 'trust' } });
  const good = verified(VERIFIED);

  /** A server whose first connection does `then` when it is told to, and answers nothing. */
  async function idleAt(): Promise<{ server: Awaited<ReturnType<typeof scripted>>; pool: Pool }> {
    const server = await scripted(speaking(LOGGED_IN, good));
    const pool = poolOf(trust(server.port));
    const connection = await pool.acquire(request());
    await pool.release(connection, 'clean');
    return { server, pool };
  }

  test.each([
    ['a notification', message('A', 1, 'channel\0', '\0')],
    ['an error', message('E', 'C57P01\0Mbye\0\0')],
    ['a row', row('not yours')],
    ['nonsense', Buffer.from('HTTP/1.1 200 OK\r\n')],
    ['a message without end', message('N', 'Mx\0\0').fill(0xff, 1, 5)],
    ['a parameter that is none', message('S', 'x')],
  ])('%s on an idle connection ends it', async (_what, bytes) => {
    const { server, pool } = await idleAt();
    for (const socket of server.sockets) socket.write(bytes);
    await expect.poll(() => pool.size).toBe(0);
    await expect.poll(() => server.sockets.size).toBe(0);
    await pool.close();
    await server.stop();
  });

  test('a parameter and a notice do not, in however many pieces, and the parameter is known', async () => {
    const { server, pool } = await idleAt();
    const bytes = Buffer.concat([message('N', 'Mhello\0\0'), message('S', 'in_hot_standby\0on\0')]);
    for (const socket of server.sockets) for (const byte of bytes) socket.write(Buffer.from([byte]));
    const held = pool.acquire.bind(pool);
    await expect
      .poll(async () => {
        const connection = await held(request());
        const value = connection.parameters.get('in_hot_standby');
        await pool.release(connection, 'clean');
        return value;
      })
      .toBe('on');
    expect(server.accepted).toBe(1);
    await pool.close();
    await server.stop();
  });

  test('a server that falls silent is given up after the reset’s time, its place counts until then', async () => {
    const server = await scripted(speaking(LOGGED_IN, good));
    const pool = poolOf({ ...trust(server.port), pool: { size: 1 } }, { cancelMs: 100 });
    const connection = await pool.acquire(request());
    await pool.release(connection, 'dirty');
    expect(pool).toMatchObject({ size: 1, resetting: 1 });
    // The cancel of what hangs, which nobody answers either.
    await expect.poll(() => server.accepted).toBe(2);
    expect(pool.size).toBe(1);
    await expect.poll(() => pool.size).toBe(0);
    await pool.close();
    await server.stop();
  });
});

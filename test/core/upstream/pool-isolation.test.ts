/** How far a server connection travels, and when it is reset between two sessions of one person. */
import { describe, expect, test } from 'vitest';
import type { PoolOptions } from '../../../core/contract/pool.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { Pool } from '../../../core/upstream/pool/pool.ts';
import type { AcquireRequest } from '../../../core/upstream/pool/checkout-request.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { entryOf, query, request } from './support.ts';
import type { CheckoutRequest } from './support.ts';

const postgres = sharedPostgres();

const entry = (pool: PoolOptions) => entryOf(postgres, pool);

interface Person extends CheckoutRequest {
  readonly subject: string;
  readonly tenant?: string;
}

let sessions = 0;

/** A new session of somebody. */
function sessionOf({ subject, tenant, ...more }: Person): AcquireRequest & { readonly leave: () => void } {
  const over = new AbortController();
  const session = `session ${(sessions += 1)}`;
  const scopes = { session, subject, tenant: tenant ?? subject };
  const wanted = { ...more, fingerprint: `${subject} ${tenant}`, holder: { signal: over.signal } };
  return { ...request(wanted), scopes, leave: () => over.abort(new Error('over')) };
}

/** Pools whose clock is moved by hand. */
function poolOf(options: PoolOptions): { pool: Pool; pass: (ms: number) => void; told: unknown[] } {
  let now = 0;
  const runs = new Set<() => void>();
  const clock = {
    now: () => now,
    every: (_ms: number, run: () => void) => {
      runs.add(run);
      return () => void runs.delete(run);
    },
  };
  const told: unknown[] = [];
  const line = (fields: unknown): void => void told.push(fields);
  const log = { debug() {}, info: line, warn() {}, error() {} };
  const pool = new Pool({ entry: 'main', database: entry(options), clock, log });
  const pass = (ms: number): void => {
    now += ms;
    for (const run of runs) run();
  };
  return { pool, pass, told };
}

/** Serves a session from its beginning to its end; which connection it had. */
async function serve(
  pool: Pool,
  who: Person,
  use: (connection: ServerConnection) => Promise<unknown> = async () => {},
): Promise<number> {
  const session = sessionOf(who);
  const connection = await pool.acquire(session);
  await use(connection);
  session.leave();
  await pool.release(connection, 'dirty');
  await expect.poll(() => pool.resetting).toBe(0);
  return connection.pid;
}

const ALICE = { subject: 'alice', tenant: 'red' };
const BOB = { subject: 'bob', tenant: 'red' };
const CAROL = { subject: 'carol', tenant: 'blue' };
const [NOBODYS, NEITHER] = [{ subject: 'dora' }, { subject: 'emil' }];

describe('with share', () => {
  test.each<[NonNullable<PoolOptions['share']>, boolean[]]>([
    ['role', [true, true, true, true]],
    ['tenant', [true, true, false, false]],
    ['subject', [true, false, false, false]],
    ['session', [false, false, false, false]],
  ])(
    '%s a connection of alice serves alice, bob, carol, and who has no tenant: %j',
    async (share, expected) => {
      const served: boolean[] = [];
      for (const next of [ALICE, BOB, CAROL, NOBODYS]) {
        const { pool } = poolOf({ share, size: 1 });
        const first = await serve(pool, ALICE);
        served.push((await serve(pool, next)) === first);
        expect(pool.size).toBeLessThanOrEqual(1);
        await pool.close();
      }
      expect(served).toEqual(expected);
    },
  );

  test('tenant, sessions without a tenant are each alone, and not one tenant of their own', async () => {
    const { pool } = poolOf({ share: 'tenant', size: 1 });
    const first = await serve(pool, NOBODYS);
    expect(await serve(pool, NOBODYS)).toBe(first);
    expect(await serve(pool, NEITHER)).not.toBe(first);
    await pool.close();
  });

  test('subject, strangers beyond the limit take turns by closing and opening, none waits for ever', async () => {
    const { pool } = poolOf({ share: 'subject', size: 2 });
    const people = [ALICE, BOB, CAROL, NOBODYS, NEITHER];
    const pids = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const { subject } = people[i % people.length] ?? ALICE;
        const seen: (string | null | undefined)[] = [];
        const mark = `select set_config('app.who', coalesce(current_setting('app.who', true), '') || '${subject}', false)`;
        const pid = await serve(pool, { subject }, async (connection) => {
          const [row] = await query(connection, mark);
          seen.push(row?.[0]);
        });
        expect(seen).toEqual([subject]);
        return [pid, subject] as const;
      }),
    );
    for (const [pid, subject] of pids)
      expect(pids.filter(([one]) => one === pid).map(([, who]) => who)).toEqual(
        pids.filter(([one]) => one === pid).map(() => subject),
      );
    expect(pool).toMatchObject({ lent: 0, waiting: 0 });
    await pool.close();
  });

  test('session, a transaction may come back to its own session, and nobody keeps the connection after it', async () => {
    const { pool, pass } = poolOf({ share: 'session', size: 2 });
    const session = sessionOf(ALICE);
    const first = await pool.acquire(session);
    await pool.release(first, 'clean');
    expect((await pool.acquire(session)).pid).toBe(first.pid);
    await pool.release(first, 'clean');
    const other = await pool.acquire(sessionOf(ALICE));
    expect(other.pid).not.toBe(first.pid);
    expect(pool).toMatchObject({ idle: 1, lent: 1 });
    session.leave();
    pass(1);
    await expect.poll(() => pool.idle).toBe(0);
    await pool.close();
  });

  test('of any kind, what was opened and never used is for everybody', async () => {
    const { pool, pass } = poolOf({ share: 'session', size: 3, min: 2 });
    await serve(pool, ALICE);
    pass(1);
    await expect.poll(() => pool.idle).toBe(2);
    const [bob, carol] = [await pool.acquire(sessionOf(BOB)), await pool.acquire(sessionOf(CAROL))];
    expect(pool).toMatchObject({ idle: 0, lent: 2, size: 2 });
    for (const connection of [bob, carol]) await pool.release(connection, 'close');
    await pool.close();
  });
});

describe('where nothing is configured', () => {
  test('a database with nothing special shares by role, one with dblink by subject', async () => {
    const [plain, linked] = [await freshDatabase(), await freshDatabase()];
    await postgres.sql('create extension dblink', linked);
    for (const [database, shared] of [
      [plain, true],
      [linked, false],
    ] as const) {
      const { pool, told } = poolOf({ size: 1 });
      const first = await serve(pool, { ...ALICE, database });
      expect(await serve(pool, { ...ALICE, database })).toBe(first);
      expect((await serve(pool, { ...BOB, database })) === first).toBe(shared);
      expect(told).toHaveLength(shared ? 0 : 1);
      await pool.close();
    }
  });

  test('nobody gets the dblink connection of another, nor who the other was there', async () => {
    const database = await freshDatabase();
    await postgres.sql('create extension dblink', database);
    const { pool } = poolOf({ size: 1 });
    const { host, port, passwords } = postgres;
    const where = `host=${host} port=${port} dbname=${database} user=writer password=${passwords.writer}`;
    const who = "select * from dblink('mine', 'select current_user::text') as t(who text)";
    await serve(pool, { ...ALICE, database }, async (connection) => {
      await query(connection, `select dblink_connect('mine', '${where}')`);
      expect(await query(connection, who)).toEqual([['writer']]);
    });
    const bob = await pool.acquire(sessionOf({ ...BOB, database }));
    await expect(query(bob, who)).rejects.toThrow(/2F003|08003/);
    await pool.close();
  });

  test('an extension that comes later is noticed, and what several have used serves nobody then', async () => {
    const database = await freshDatabase();
    const { pool, pass, told } = poolOf({ size: 1 });
    const first = await serve(pool, { ...ALICE, database });
    expect(await serve(pool, { ...BOB, database })).toBe(first);
    await postgres.sql('create extension dblink', database);
    expect(await serve(pool, { ...BOB, database })).toBe(first);
    pass(10_000);
    await serve(pool, { ...ALICE, database });
    expect(told).toMatchObject([{ share: 'subject' }]);
    await expect.poll(() => pool.size).toBe(0);
    const alone = await serve(pool, { ...ALICE, database });
    expect(await serve(pool, { ...BOB, database })).not.toBe(alone);
    await postgres.sql('drop extension dblink', database);
    pass(10_000);
    const now = await serve(pool, { ...BOB, database });
    expect(await serve(pool, { ...CAROL, database })).toBe(now);
    expect(told).toMatchObject([{ share: 'subject' }, { share: 'role' }]);
    await pool.close();
  });

  test('a configured share is kept, whatever the database has', async () => {
    const database = await freshDatabase();
    await postgres.sql('create extension dblink', database);
    const { pool } = poolOf({ size: 1, share: 'role' });
    const first = await serve(pool, { ...ALICE, database });
    expect(await serve(pool, { ...BOB, database })).toBe(first);
    await pool.close();
  });
});

describe('between two sessions of one person, where no command has left anything,', () => {
  const shown = "select current_setting('app.mark', true)";
  /** Tags show nothing of it. */
  const leave = "select set_config('app.mark', 'left', false)";

  async function next(reset: NonNullable<PoolOptions['reset']>, same: boolean): Promise<unknown> {
    const { pool } = poolOf({ size: 1, reset });
    const session = sessionOf(ALICE);
    const connection = await pool.acquire(session);
    await query(connection, leave);
    await pool.release(connection, 'clean');
    const second = await pool.acquire(same ? session : sessionOf(ALICE));
    expect(second.pid).toBe(connection.pid);
    const [row] = await query(second, shown);
    await pool.close();
    return row?.[0];
  }

  test('a connection is handed on as it is', async () => {
    expect(await next('auto', false)).toBe('left');
  });

  test("it is reset with reset: 'always', but not within one session", async () => {
    expect(await next('always', false)).toBe('');
    expect(await next('always', true)).toBe('left');
  });
});

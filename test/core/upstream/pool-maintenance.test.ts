/** What time does to a pool: the clock is the test's. */
import { expect, test } from 'vitest';
import type { PoolOptions } from '../../../core/contract/pool.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { Pool } from '../../../core/upstream/pool/pool.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { entryOf, request } from './support.ts';

const postgres = sharedPostgres();

const entry = (pool: PoolOptions) => entryOf(postgres, pool);

/** A pool whose time passes only when told; every look at it is taken then. */
function timed(options: PoolOptions): { pool: Pool; pass: (ms: number) => void; looks: () => number } {
  let now = 0;
  const runs = new Set<() => void>();
  const clock = {
    now: () => now,
    every: (_ms: number, run: () => void) => {
      runs.add(run);
      return () => void runs.delete(run);
    },
  };
  const pool = new Pool({ entry: 'main', database: entry(options), clock });
  const pass = (ms: number): void => {
    now += ms;
    for (const run of runs) run();
  };
  return { pool, pass, looks: () => runs.size };
}

const many = (pool: Pool, count: number, role = 'reader'): Promise<readonly ServerConnection[]> =>
  Promise.all(Array.from({ length: count }, () => pool.acquire(request({ role }))));

async function giveBack(pool: Pool, lent: readonly ServerConnection[]): Promise<void> {
  await Promise.all(lent.map((connection) => pool.release(connection, 'dirty')));
  await expect.poll(() => pool.resetting).toBe(0);
}

test('idle connections are closed after idleTimeout, the others stay; then nothing looks any more', async () => {
  const { pool, pass, looks } = timed({ idleTimeout: '10s' });
  const lent = await many(pool, 3);
  await giveBack(pool, lent.slice(0, 2));
  pass(9_999);
  expect(pool.idle).toBe(2);
  const [again] = await many(pool, 1);
  if (again) await giveBack(pool, [again]);
  pass(1);
  await expect.poll(() => pool.size).toBe(2);
  expect(pool).toMatchObject({ idle: 1, lent: 1 });
  pass(10_000);
  await expect.poll(() => pool.size).toBe(1);
  await giveBack(pool, lent.slice(2));
  expect(looks()).toBe(1);
  pass(10_000);
  await expect.poll(() => pool.size).toBe(0);
  pass(1);
  expect(looks()).toBe(0);
  await pool.close();
});

test('what is older than maxLifetime serves to the end of its session and is not handed out again', async () => {
  const { pool, pass } = timed({ maxLifetime: '1h' });
  const [first] = await many(pool, 1);
  pass(3_600_000 * 0.89);
  if (first) await giveBack(pool, [first]);
  const [same] = await many(pool, 1);
  expect(same?.pid).toBe(first?.pid);
  pass(3_600_000 * 0.22);
  expect(pool.lent).toBe(1);
  if (same) await pool.release(same, 'dirty');
  expect(pool.size).toBe(0);
  await pool.close();
});

test('connections of one moment do not end in one moment', async () => {
  const { pool, pass } = timed({ maxLifetime: '1h', idleTimeout: '10h', size: 8, connecting: 8 });
  await giveBack(pool, await many(pool, 8));
  const sizes = new Set<number>();
  pass(3_600_000 * 0.899);
  expect(pool.idle).toBe(8);
  for (let percent = 90; percent <= 110; percent += 1) {
    pass(36_000);
    sizes.add(pool.idle);
  }
  await expect.poll(() => pool.size).toBe(0);
  expect(sizes.size).toBeGreaterThan(2);
  await pool.close();
});

test('min is kept warm for each key that was used, through idle times, ends and lifetimes', async () => {
  const { pool, pass } = timed({ min: 2, idleTimeout: '10s', maxLifetime: '1h', size: 8 });
  await giveBack(pool, await many(pool, 1));
  expect(pool.size).toBe(1);
  pass(1);
  await expect.poll(() => pool.idle).toBe(2);
  await giveBack(pool, await many(pool, 4));
  expect(pool.idle).toBe(4);
  pass(20_000);
  await expect.poll(() => pool.size).toBe(2);
  await giveBack(pool, await many(pool, 1, 'writer'));
  pass(1);
  await expect.poll(() => pool.idle).toBe(4);
  pass(4_000_000);
  await expect.poll(() => pool.size - pool.idle).toBe(0);
  pass(1);
  await expect.poll(() => pool.idle).toBe(4);
  pool.keepMinimum(false);
  pass(20_000);
  await expect.poll(() => pool.size).toBe(0);
  await pool.close();
});

test('min is nobody’s who is not let in: a failure is not repeated before the next look', async () => {
  const { pool, pass } = timed({ min: 3, size: 4 });
  const wrong = request({ database: 'template0' });
  await expect(pool.acquire(wrong)).rejects.toThrow();
  expect(pool).toMatchObject({ size: 0, opening: 0 });
  pass(1);
  expect(pool.opening).toBe(3);
  await expect.poll(() => pool.opening).toBe(0);
  expect(pool.size).toBe(0);
  await pool.close();
});

test('the reserve opens for who has waited too long, and closes when they have left', async () => {
  const { pool, pass } = timed({ size: 1, reserve: 1, reserveAfter: '5s', queueTimeout: '1h' });
  const [first] = await many(pool, 1);
  const second = pool.acquire(request({ fingerprint: 'bob' }));
  pass(4_999);
  expect(pool).toMatchObject({ size: 1, waiting: 1, opening: 0 });
  pass(1);
  const reserved = await second;
  expect(pool).toMatchObject({ size: 2, lent: 2, limit: 1 });
  const third = pool.acquire(request({ fingerprint: 'carol' }));
  pass(5_000);
  expect(pool).toMatchObject({ size: 2, waiting: 1 });
  await pool.release(reserved, 'dirty');
  await giveBack(pool, [await third]);
  await expect.poll(() => pool.size).toBe(1);
  if (first) await giveBack(pool, [first]);
  expect(pool).toMatchObject({ size: 1, idle: 1 });
  await pool.close();
});

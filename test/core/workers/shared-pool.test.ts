/** One pool size over all workers, on real PostgreSQL: the pools of linked workers, under load, and when one of them dies. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { cancelOfDead } from '../../../core/gateway/cancel-of-dead.ts';
import { Pools } from '../../../core/gateway/pools.ts';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import type { PoolOptions } from '../../../core/contract/pool.ts';
import type { Pool } from '../../../core/upstream/pool/pool.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { linkWorkers } from '../../support/worker-links.ts';
import type { LinkedWorkers } from '../../support/worker-links.ts';
import { entryOf, query, request } from '../upstream/support.ts';
import type { CheckoutRequest } from '../upstream/support.ts';

const postgres = sharedPostgres();
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const log = { info() {}, warn() {}, error() {} };

interface Workers {
  readonly linked: LinkedWorkers;
  readonly pools: readonly Pool[];
  /** A session's request for the test's own database. */
  readonly as: (checkout?: CheckoutRequest) => ReturnType<typeof request>;
  /** Backends of the test's own database as PostgreSQL has them. */
  readonly backends: (more?: string) => Promise<number>;
  /** As the kernel ends a process: its sockets are closed, and no more is said. */
  readonly kill: (worker: number) => void;
}

async function workersOf(
  count: number,
  options: PoolOptions,
  change: (database: DatabaseOptions) => DatabaseOptions = (database) => database,
): Promise<Workers> {
  const name = await freshDatabase();
  const database = change(entryOf(postgres, options));
  const linked = linkWorkers(count);
  const all = linked.links.map(({ slots }) => {
    const pools = new Pools(log, undefined, { slots });
    slots.cancelsBy(cancelOfDead({ pools, config: () => ({ database: () => Promise.resolve(undefined) }) }));
    return pools;
  });
  const pools = all.map((one) => one.for('main', database));
  closing.push(async () => {
    await Promise.all(all.map((one) => one.close()));
    linked.close();
  });
  return {
    linked,
    pools,
    as: (checkout = {}) => request({ ...checkout, database: name }),
    backends: async (more = 'true') => {
      const where = `datname = '${name}' and backend_type = 'client backend' and ${more}`;
      return Number(
        (await postgres.sql(`select count(*) from pg_stat_activity where ${where}`))[0]?.['count'],
      );
    },
    kill: (worker) => {
      linked.kill(worker);
      for (const { connection } of pools[worker - 1]?.servers.all() ?? []) connection?.channel.destroy();
    },
  };
}

/** Clients that each check out, run a statement and check in again, until they are told to end; how many each has done. */
function load({ as }: Pick<Workers, 'as'>, pool: Pool | undefined, clients: number) {
  const over = new AbortController();
  const done = Array.from({ length: clients }, () => 0);
  const run = async (client: number): Promise<void> => {
    if (!pool) return;
    while (!over.signal.aborted) {
      const connection = await pool.acquire(as());
      await query(connection, 'select pg_sleep(0.002)');
      await pool.release(connection, 'clean');
      done[client] = (done[client] ?? 0) + 1;
    }
  };
  const all = Promise.allSettled(done.map((_, client) => run(client)));
  return {
    done,
    end: () => {
      over.abort();
      return all;
    },
  };
}

/** A connection, once the other worker has given its slot back: that may take longer than requests may wait. */
async function acquireAtLast(
  pool: Pool | undefined,
  ask: () => ReturnType<typeof request>,
): Promise<ServerConnection | undefined> {
  for (;;) {
    try {
      return await pool?.acquire(ask());
    } catch (error) {
      if (!String(error).includes('became free in time')) throw error;
    }
  }
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10);
}

test('two workers under uneven load never have more than size connections, and every client is served', async () => {
  const workers = await workersOf(2, { size: 4 });
  const loads = [load(workers, workers.pools[0], 20), load(workers, workers.pools[1], 2)];
  let most = 0;
  await until(async () => {
    most = Math.max(most, await workers.backends());
    return loads.every(({ done }) => done.every((n) => n >= 20));
  });
  for (const one of loads) await one.end();
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(4);
});

test('a connection that one worker does not use goes to another one that wants it', async () => {
  const { pools, as } = await workersOf(2, { size: 1 });
  const [first, second] = pools;
  for (const pool of [first, second, first, second]) {
    const connection = await pool?.acquire(as());
    if (connection) await pool?.release(connection, 'clean');
  }
  await until(() => (first?.size ?? 0) + (second?.size ?? 0) === 1);
});

test('an idle connection of another role makes room, in whichever worker it is', async () => {
  const { pools, as, linked } = await workersOf(2, { size: 2 });
  const [first, second] = pools;
  for (const role of ['reader', 'writer']) {
    const connection = await first?.acquire(as({ role }));
    if (connection) await first?.release(connection, 'clean');
  }
  expect(linked.hub.slots.lent()).toBe(2);
  const lent = [await second?.acquire(as({ role: 'writer' })), await second?.acquire(as({ role: 'writer' }))];
  expect(lent.every((one) => one !== undefined)).toBe(true);
  for (const one of lent) if (one) await second?.release(one, 'clean');
});

test('perRole holds over all workers', async () => {
  const { pools, as, backends } = await workersOf(2, { size: 4, perRole: 1, queueTimeout: '1s' });
  const held = await pools[0]?.acquire(as());
  await expect(pools[1]?.acquire(as())).rejects.toThrow('became free in time');
  expect(await backends()).toBe(1);
  if (held) await pools[0]?.release(held, 'clean');
  const other = await acquireAtLast(pools[1], as);
  if (other) await pools[1]?.release(other, 'clean');
});

test('the reserve is there for a client that has waited in any worker, and goes when nobody needs it', async () => {
  const { pools, as, linked } = await workersOf(2, { size: 1, reserve: 1, reserveAfter: '100ms' });
  const held = await pools[0]?.acquire(as());
  const late = await pools[1]?.acquire(as());
  expect(linked.hub.slots.lent()).toBe(2);
  if (held) await pools[0]?.release(held, 'clean');
  if (late) await pools[1]?.release(late, 'clean');
  await until(() => linked.hub.slots.lent() === 1);
});

test.each([
  ['over TCP', (database: DatabaseOptions) => database],
  ['over a Unix socket', (database: DatabaseOptions) => ({ ...database, host: postgres.socketDir })],
])('what a dead worker ran is cancelled, and its slots come back: %s', async (_, change) => {
  const workers = await workersOf(2, { size: 2 }, change);
  const [first, second] = workers.pools;
  const held = [await first?.acquire(workers.as()), await first?.acquire(workers.as())];
  for (const connection of held)
    if (connection) void query(connection, 'select pg_sleep(60)').catch(() => {});
  await until(async () => (await workers.backends(`query like '%pg_sleep(60)%' and state = 'active'`)) === 2);
  workers.kill(1);
  const next = second?.acquire(workers.as());
  expect(workers.linked.hub.slots.lent()).toBe(2);
  await until(async () => (await workers.backends(`query like '%pg_sleep(60)%'`)) === 0);
  const connection = await next;
  expect(await workers.backends()).toBeLessThanOrEqual(2);
  if (connection) await second?.release(connection, 'clean');
  await until(() => workers.linked.hub.slots.lent() === 1);
});

test('a worker that dies under load never makes the others exceed size', async () => {
  const workers = await workersOf(3, { size: 4 });
  const loads = workers.pools.map((pool) => load(workers, pool, 6));
  let most = 0;
  const sample = async (): Promise<void> => {
    most = Math.max(most, await workers.backends());
  };
  await until(async () => {
    await sample();
    return loads.every(({ done }) => done.every((n) => n >= 3));
  });
  workers.kill(1);
  const before = loads.map(({ done }) => [...done]);
  await until(async () => {
    await sample();
    return [1, 2].every((index) =>
      loads[index]?.done.every((n, client) => n >= (before[index]?.[client] ?? 0) + 20),
    );
  });
  await Promise.all([loads[1]?.end(), loads[2]?.end()]);
  void loads[0]?.end();
  expect(most).toBeLessThanOrEqual(4);
});

test('there are never more clients in session mode than mostSessions, over all workers', async () => {
  const options = { mode: 'transaction', clientMode: 'choose', size: 4, mostSessions: 1 } as const;
  const { pools, as, linked } = await workersOf(2, { ...options, queueTimeout: '400ms' });
  const [first, second] = pools;
  const inSessionMode = (): ReturnType<typeof request> => ({ ...as(), inSessionMode: true });
  const held = await first?.acquire(inSessionMode());
  await expect(second?.acquire(inSessionMode())).rejects.toThrow('became free in time');
  const other = await acquireAtLast(second, as);
  if (other) await second?.release(other, 'clean');
  const next = acquireAtLast(second, inSessionMode);
  if (held) await first?.release(held, 'dirty');
  const taken = await next;
  if (taken) await second?.release(taken, 'dirty');
  for (const pool of pools) await pool.close();
  await until(() => linked.hub.slots.lent() === 0);
});

test('a pool that is closed leaves no slot', async () => {
  const { pools, as, linked } = await workersOf(2, { size: 3, min: 2 });
  for (const pool of pools) {
    const connection = await pool.acquire(as());
    await pool.release(connection, 'clean');
  }
  for (const pool of pools) await pool.close();
  await until(() => linked.hub.slots.lent() === 0);
});

/** What a warm pool costs the channel between a worker and its parent: nothing, for a login as for a transaction. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterEach, expect, test } from 'vitest';
import type { PoolOptions } from '../../../core/contract/pool.ts';
import { databaseOf, GOOD_TOKEN, mapTo, startWorker } from '../../support/gateway.ts';
import type { RunningGateway } from '../../support/gateway.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { linkWorkers } from '../../support/worker-links.ts';
import type { LinkedWorkers } from '../../support/worker-links.ts';

const postgres = sharedPostgres();
const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface Workers {
  readonly linked: LinkedWorkers;
  readonly running: readonly RunningGateway[];
}

async function workersWith(pool: PoolOptions): Promise<Workers> {
  const linked = linkWorkers(2);
  closing.push(() => linked.close());
  const running: RunningGateway[] = [];
  for (const link of linked.links) {
    const databases = { main: databaseOf(postgres, { pool }) };
    const worker = await startWorker({ plugins: [mapTo('reader')], databases }, link);
    closing.push(() => worker.gateway.stop());
    running.push(worker);
  }
  return { linked, running };
}

async function session(port: number): Promise<Client> {
  const client = new Client({ host: '127.0.0.1', port, user: 'a', database: 'main', password: GOOD_TOKEN });
  await client.connect();
  return client;
}

/** Every worker serves `clients` at a time that log in, run `statements` and leave, `rounds` times each. */
async function load(
  { running }: Workers,
  clients: number,
  rounds: number,
  statements: number,
): Promise<void> {
  const one = async (port: number): Promise<void> => {
    for (let round = 0; round < rounds; round += 1) {
      const client = await session(port);
      for (let n = 0; n < statements; n += 1) await client.query('select 1');
      await client.end();
    }
  };
  await Promise.all(running.flatMap(({ port }) => Array.from({ length: clients }, () => one(port))));
}

/** The messages that are sent meanwhile, by kind. */
async function messagesDuring({ linked }: Workers, run: () => Promise<void>): Promise<object> {
  await sleep(200);
  const before = new Map(linked.sent);
  await run();
  const more = [...linked.sent].map(([kind, n]) => [kind, n - (before.get(kind) ?? 0)] as const);
  return Object.fromEntries(more.filter(([, n]) => n > 0));
}

/** Each worker has as many connections as clients. */
async function warm({ running }: Workers, clients: number): Promise<void> {
  const all = await Promise.all(
    running.flatMap(({ port }) => Array.from({ length: clients }, () => session(port))),
  );
  await Promise.all(all.map((client) => client.query('begin')));
  for (const client of all) {
    await client.query('commit');
    await client.end();
  }
}

test.each(['session', 'transaction'] as const)(
  'a pool in %s mode with connections enough sends no message for logins and statements',
  async (mode) => {
    const workers = await workersWith({ mode, size: 8 });
    await warm(workers, 4);
    expect(workers.linked.hub.slots.lent()).toBe(8);
    expect(await messagesDuring(workers, () => load(workers, 4, 15, 3))).toEqual({});
  },
);

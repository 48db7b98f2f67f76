/** Hashes that plugins make with the secret of a fleet, and what rate limits leave in their store. */
import { tmpdir } from 'node:os';
import { Client } from 'pg';
import { beforeAll, beforeEach, afterAll, expect, onTestFinished, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { sharedWith } from '../../core/gateway/shared-with-workers.ts';
import { Gateway } from '../../core/gateway.ts';
import { SingleProcess } from '../../core/workers/single-process.ts';
import { rateLimit } from '../../plugins/rate-limit/index.ts';
import { databaseOf, GOOD_TOKEN, mapTo, started } from '../support/gateway.ts';
import type { TestConfig } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RedisServer } from '../support/redis.ts';
import { linkWorkers } from '../support/worker-links.ts';
import { fleetOf } from './fleet.ts';

test('workers of all instances hash the same, each plugin for itself, and other fleets otherwise', async () => {
  const fleet = fleetOf();
  const one = new SingleProcess(await fleet.join('a'));
  const { links, close } = linkWorkers(2, undefined, { member: await fleet.join('b') });
  onTestFinished(close);
  const hashes = [one, ...links].map((coordination) => sharedWith({ coordination }, 'p').fleet?.hash('ada'));
  expect(hashes[0]).toMatch(/^[\w-]{22}$/);
  expect(new Set(hashes).size).toBe(1);
  expect(sharedWith({ coordination: one }, 'q').fleet?.hash('ada')).not.toBe(hashes[0]);
  const other = new SingleProcess(await fleetOf({ secret: 'another of thirty-two characters' }).join('a'));
  expect(sharedWith({ coordination: other }, 'p').fleet?.hash('ada')).not.toBe(hashes[0]);
});

test('who prints the fleet prints neither its store nor a key', async () => {
  const coordination = new SingleProcess(await fleetOf().join('a'));
  const store = { url: 'redis://u:canary@127.0.0.1', password: 'canary', sentinels: [], timeoutMs: 1 };
  const { fleet } = sharedWith({ coordination, config: { fleet: { store } as never } }, 'p');
  expect(fleet?.store()?.url).toBe(store.url);
  const printed = JSON.stringify(fleet);
  expect(printed).not.toContain('canary');
  expect(printed).not.toContain(coordination.fleet?.hashKey);
});

describeWith('redis-server', (program) => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start(program);
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    await redis.ask('flushall');
  });

  /** The key that one login leaves. */
  async function keyBehind(
    start: (config: TestConfig) => Promise<{ readonly port: number }>,
  ): Promise<string> {
    const store = { kind: 'redis', url: redis.url } as const;
    const limits = rateLimit({ connections: { per: 'address', limit: '1/h' }, store, failOpen: false });
    const { port } = await start({
      databases: { orders: databaseOf(sharedPostgres()) },
      plugins: [limits, mapTo('reader')],
    });
    const client = new Client({
      host: '127.0.0.1',
      port,
      user: '_',
      database: 'orders',
      password: GOOD_TOKEN,
    });
    onTestFinished(() => client.end());
    await client.connect();
    const keys = await redis.ask('keys postern:rate:*');
    await redis.ask('flushall');
    return /^postern:rate:(.*)$/m.exec(keys)?.[1]?.trim() ?? '';
  }

  test('keys of rate limits are the same in all instances, and only whoever has the secret can tell of whom', async () => {
    const fleet = fleetOf();
    const [one, other] = [
      await keyBehind((config) => fleet.start('a', config)),
      await keyBehind((config) => fleet.start('b', config)),
    ];
    const alone = await keyBehind((config) =>
      started(
        undefined,
        (log) => new Gateway(checkConfig({ listen: { port: 0 }, ...config }, tmpdir()), log),
      ),
    );
    expect(one).toMatch(/^[\w-]{22}$/);
    expect(other).toBe(one);
    expect(alone).toMatch(/^[\w-]{43}$/);
  });
});

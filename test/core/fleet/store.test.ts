/** What every store of a fleet does: one table of behaviour for Redis and for the one in memory. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { INSTANCE_NUMBERS } from '../../../core/contract/instance-numbers.ts';
import { RedisStore } from '../../../core/fleet/redis/redis-store.ts';
import type { FleetStore } from '../../../core/fleet/store.ts';
import { machineTimers } from '../../../core/workers/timers.ts';
import { MemoryClient } from '../../support/memory-client.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { describeWith } from '../../support/programs.ts';
import { RedisServer } from '../../support/redis.ts';
import { random } from '../../support/sequences.ts';

/** Long enough to be alive for a test, and for one that is to die. Milliseconds. */
const [LIVES_MS, DIES_MS] = [60_000, 30];
const LOG_LENGTH = 100;

/** Empty stores of one kind, for each test one. */
interface Stores {
  /** Another connection to the store of the test. */
  client(): Promise<FleetStore>;
  flush(): Promise<void>;
}

function behaves(stores: Stores): void {
  const open: FleetStore[] = [];
  let a: FleetStore;
  let b: FleetStore;

  async function client(): Promise<FleetStore> {
    const made = await stores.client();
    open.push(made);
    return made;
  }

  beforeEach(async () => {
    await stores.flush();
    [a, b] = [await client(), await client()];
  });
  afterEach(() => {
    for (const store of open.splice(0)) store.close();
  });

  const live = (store: FleetStore, id: string, ms = LIVES_MS): ReturnType<FleetStore['beat']> =>
    store.beat({ id, text: `text of ${id}` }, [], ms);
  const full = async (id: string, key: string, mine: number, limit?: number): Promise<unknown> =>
    (await a.take(id, [{ key, mine, limit }])).full;
  const after = (boards: Record<string, number>, post = '0'): Parameters<FleetStore['read']>[1] => ({
    boards,
    post,
  });
  const put = (field: string, tag: string, until?: number): Parameters<FleetStore['change']>[1] => ({
    field,
    tag,
    text: `text of ${tag}`,
    ...(until !== undefined && { until }),
  });

  describe('who lives', () => {
    test('an instance has not lived before its first beat, and has before its second', async () => {
      expect((await live(a, 'a')).lived).toBe(false);
      expect((await live(a, 'a')).lived).toBe(true);
    });

    test('each hears of all others, of what they say now, and of their numbers', async () => {
      const [{ number: one }, { number: two }] = [await live(a, 'a'), await live(b, 'b')];
      await b.beat({ id: 'b', text: 'says more' }, [], LIVES_MS);
      const { live: known } = await live(a, 'a');
      expect([...known].sort((x, y) => x.id.localeCompare(y.id))).toEqual([
        { id: 'a', text: 'text of a', number: one },
        { id: 'b', text: 'says more', number: two },
      ]);
    });

    test('whoever does not beat is dead for the others, and has not lived when it is back', async () => {
      await live(a, 'a', DIES_MS);
      await sleep(2 * DIES_MS);
      expect((await live(b, 'b')).live.map(({ id }) => id)).toEqual(['b']);
      const back = await live(a, 'a');
      expect(back.lived).toBe(false);
      expect(back.live).toHaveLength(2);
    });

    test('whoever leaves is dead at once', async () => {
      await live(a, 'a');
      await a.leave('a');
      expect((await live(b, 'b')).live).toHaveLength(1);
      expect(await a.count('a', [['place', 1]])).toBe(false);
    });

    test('numbers differ, are kept, and are in the range', async () => {
      const ids = Array.from({ length: 50 }, (_, i) => `i${i}`);
      const clients = await Promise.all(ids.map(() => client()));
      const numbers = async (): Promise<(number | undefined)[]> =>
        (await Promise.all(clients.map((store, i) => live(store, ids[i] ?? '')))).map(({ number }) => number);
      const given = await numbers();
      expect(new Set(given).size).toBe(50);
      for (const number of given) {
        expect(number).toBeGreaterThanOrEqual(INSTANCE_NUMBERS.first);
        expect(number).toBeLessThanOrEqual(INSTANCE_NUMBERS.last);
      }
      expect(await numbers()).toEqual(given);
    });

    test('an instance that died or whose store was flushed gets its number again', async () => {
      const { number } = await live(a, 'a', DIES_MS);
      await sleep(2 * DIES_MS);
      expect((await live(b, 'b')).number).not.toBe(number);
      expect((await live(a, 'a')).number).toBe(number);
      await stores.flush();
      expect((await live(a, 'a')).number).toBe(number);
    });

    test('when all numbers are taken the next has none, until one leaves', async () => {
      const count = INSTANCE_NUMBERS.last - INSTANCE_NUMBERS.first + 1;
      for (let i = 0; i < count; i += 1) await live(b, `i${i}`);
      expect((await live(a, 'late')).number).toBeUndefined();
      await b.leave('i7');
      expect((await live(a, 'late')).number).toBeDefined();
    });

    test('the epoch is the same for all, and another one after a flush', async () => {
      const { epoch } = await live(a, 'a');
      expect((await live(b, 'b')).epoch).toBe(epoch);
      expect((await live(a, 'a')).epoch).toBe(epoch);
      await stores.flush();
      const flushed = await live(a, 'a');
      expect(flushed.epoch).not.toBe(epoch);
      expect(flushed.lived).toBe(false);
    });

    test('a beat tells the last change of each board that is asked for', async () => {
      await a.change('x', put('f', '1'), undefined);
      await a.change('x', put('f', '2'), undefined);
      const { latest } = await b.beat({ id: 'b', text: '' }, ['x', 'never used'], LIVES_MS);
      expect(latest).toEqual({ x: 2, 'never used': 0 });
    });
  });

  describe('places', () => {
    beforeEach(async () => {
      await live(a, 'a');
      await live(b, 'b');
    });

    test('are taken up to the limit over all instances', async () => {
      expect(await full('a', 'p', 1, 2)).toBeUndefined();
      expect(await full('b', 'p', 1, 2)).toBeUndefined();
      expect(await full('b', 'p', 2, 2)).toBe(0);
      await a.count('a', [['p', 0]]);
      expect(await full('b', 'p', 2, 2)).toBeUndefined();
    });

    test('are all taken or none', async () => {
      const places = (mine: number): Parameters<FleetStore['take']>[1] => [
        { key: 'wide', mine, limit: 10 },
        { key: 'counted', mine, limit: undefined },
        { key: 'narrow', mine, limit: 1 },
      ];
      expect(await a.take('a', places(1))).toEqual({ full: undefined, lived: true });
      expect(await b.take('b', places(1))).toEqual({ full: 2, lived: true });
      expect(await full('b', 'wide', 1, 1)).toBe(0);
      expect(await full('b', 'wide', 1, 2)).toBeUndefined();
      expect(await full('b', 'counted', 1, 1)).toBe(0);
    });

    test('that are only counted are never full, and count for a limit that comes later', async () => {
      for (let mine = 1; mine <= 5; mine += 1) expect(await full('a', 'p', mine)).toBeUndefined();
      expect(await full('b', 'p', 1, 5)).toBe(0);
    });

    test('are refused while a lowered limit is below what is held, also where an instance has given one back', async () => {
      await a.count('a', [['p', 5]]);
      expect(await full('a', 'p', 5, 3)).toBe(0);
      expect(await full('a', 'p', 3, 3)).toBeUndefined();
    });

    test('are told as they are, not as differences', async () => {
      for (const mine of [3, 3, 1]) expect(await a.count('a', [['p', mine]])).toBe(true);
      expect(await full('b', 'p', 1, 2)).toBeUndefined();
      expect(await full('b', 'p', 2, 2)).toBe(0);
    });

    test('of a place that is told twice the last counts', async () => {
      const twice = { key: 'p', mine: 1, limit: 1 };
      expect(await a.take('a', [twice, twice])).toEqual({ full: undefined, lived: true });
      await a.count('a', [
        ['p', 0],
        ['p', 2],
      ]);
      expect(await full('b', 'p', 1, 2)).toBe(0);
      await a.count('a', [
        ['p', 5],
        ['p', 0],
      ]);
      expect(await full('b', 'p', 1, 1)).toBeUndefined();
    });

    test('of instances that take, release, die and leave at once are never above the limit, and none is left', async () => {
      const [limit, keys] = [7, ['p', 'q', 'r']];
      const next = random(17);
      const held = new Map<string, number>();
      const sum = (key: string): number => ids.reduce((all, id) => all + (held.get(`${id} ${key}`) ?? 0), 0);
      const ids = ['c', 'd', 'e', 'f', 'g'];
      async function oneOf(id: string, store: FleetStore): Promise<void> {
        await live(store, id);
        for (let i = 0; i < 60; i += 1) {
          const wanted = keys.filter(() => next() < 0.6);
          const own = (key: string): string => `${id} ${key}`;
          const had = (key: string): number => held.get(own(key)) ?? 0;
          if (next() < 0.55) {
            const places = wanted.map((key) => ({ key, mine: had(key) + 1, limit }));
            if ((await store.take(id, places)).full === undefined)
              for (const key of wanted) held.set(own(key), had(key) + 1);
          } else {
            for (const key of wanted) held.set(own(key), Math.max(0, had(key) - 1));
            // Some are lost.
            if (next() < 0.9)
              await store.count(
                id,
                keys.map((key) => [key, had(key)] as const),
              );
          }
          for (const key of keys) expect(sum(key)).toBeLessThanOrEqual(limit);
        }
      }
      await Promise.all(ids.map((id, i) => oneOf(id, i % 2 ? a : b)));
      for (const id of ['c', 'd']) await a.leave(id);
      for (const id of ['e', 'f', 'g']) await live(a, id, 1);
      await sleep(DIES_MS);
      await live(a, 'a');
      for (const key of keys) expect(await full('a', key, limit, limit)).toBeUndefined();
    });

    test('no place and no count are nothing', async () => {
      expect(await a.take('a', [])).toEqual({ full: undefined, lived: true });
      expect(await a.count('a', [])).toBe(true);
      expect(await a.count('nobody', [])).toBe(false);
    });

    test('a limit of none lets nobody in', async () => {
      expect(await full('a', 'p', 1, 0)).toBe(0);
    });

    test('whoever does not live takes nothing and counts nothing', async () => {
      expect(await a.take('nobody', [{ key: 'p', mine: 1, limit: 9 }])).toEqual({
        full: undefined,
        lived: false,
      });
      expect(await a.count('nobody', [['p', 1]])).toBe(false);
      expect(await full('b', 'p', 1, 1)).toBeUndefined();
    });

    test('of an instance that leaves are free', async () => {
      await a.count('a', [['p', 5]]);
      await a.leave('a');
      expect(await full('b', 'p', 1, 1)).toBeUndefined();
    });

    test('of an instance that died are free with the next beat of any, however many they are', async () => {
      const many = Array.from({ length: 5_000 }, (_, i) => [`p${i}`, 2] as const);
      await a.beat({ id: 'c', text: '' }, [], LIVES_MS);
      await a.count('c', many);
      expect(await full('b', 'p4999', 1, 2)).toBe(0);
      await a.beat({ id: 'c', text: '' }, [], DIES_MS);
      await sleep(2 * DIES_MS);
      expect((await a.take('c', [{ key: 'p0', mine: 1, limit: undefined }])).lived).toBe(false);
      await live(b, 'b');
      const taken = async (): Promise<unknown> =>
        (await b.take('b', many.map(([key]) => ({ key, mine: 1, limit: 1 })).slice(0, 1_000))).full;
      await expect.poll(taken).toBeUndefined();
      for (const key of ['p1000', 'p4999']) await expect.poll(() => full('b', key, 1, 1)).toBeUndefined();
    });

    test('of an instance that died and is back are what it tells then', async () => {
      await b.beat({ id: 'b', text: '' }, [], DIES_MS);
      await b.count('b', [
        ['old', 4],
        ['both', 4],
      ]);
      await sleep(2 * DIES_MS);
      expect((await live(b, 'b')).lived).toBe(false);
      await b.count('b', [['both', 1]]);
      await expect.poll(() => full('a', 'old', 1, 1)).toBeUndefined();
      await expect.poll(() => full('a', 'both', 1, 2)).toBeUndefined();
      expect(await full('a', 'both', 2, 2)).toBe(0);
    });
  });

  describe('boards', () => {
    test('what is put is in the snapshot, in the order of changes as of the last', async () => {
      expect(await a.snapshot('x')).toEqual({ seq: 0, entries: [] });
      expect(await a.change('x', put('f', '1'), undefined)).toBe(1);
      expect(await b.change('x', put('g', '2'), undefined)).toBe(2);
      expect(await a.change('x', put('f', '3'), undefined)).toBe(3);
      expect(await b.change('x', { field: 'g', text: 'dropped' }, undefined)).toBe(4);
      expect(await b.snapshot('x')).toEqual({ seq: 4, entries: [put('f', '3')] });
    });

    test('boards have nothing in common', async () => {
      await a.change('x', put('f', '1'), undefined);
      expect(await a.change('y', put('f', '2'), undefined)).toBe(1);
      expect((await a.snapshot('x')).entries).toEqual([put('f', '1')]);
    });

    test.each(['a b', ':', 'x:log', '{y}', 'ž"\\'])('board and field may be named %j', async (name) => {
      await a.change('x', put('f', '1'), undefined);
      await a.change(name, put(name, name), undefined);
      expect(await b.snapshot(name)).toEqual({ seq: 1, entries: [put(name, name)] });
      expect((await b.read('b', after({ [name]: 0 }), 0)).changes[name]).toHaveLength(1);
      expect(await a.change(name, put(name, 'next'), name)).toBe(2);
    });

    test('a change that expects a value or none is made only where that is there', async () => {
      expect(await a.change('x', put('f', '1'), 'another')).toBeUndefined();
      expect(await a.change('x', put('f', '1'), null)).toBe(1);
      expect(await b.change('x', put('f', '2'), null)).toBeUndefined();
      expect(await b.change('x', put('f', '2'), '1')).toBe(2);
      expect(await a.change('x', { field: 'f', text: '' }, '1')).toBeUndefined();
      expect(await a.change('x', { field: 'f', text: '' }, '2')).toBe(3);
      expect(await a.change('x', put('f', '3'), null)).toBe(4);
      // What was refused is in no log.
      expect((await a.read('a', after({ x: 0 }), 0)).changes['x']).toHaveLength(4);
    });

    test('of many that expect the same, one is made', async () => {
      const tries = Array.from({ length: 20 }, (_, i) =>
        (i % 2 ? a : b).change('x', put('f', String(i)), null),
      );
      expect((await Promise.all(tries)).filter((seq) => seq !== undefined)).toEqual([1]);
    });

    test('a value leaves by itself when its time is over', async () => {
      const soon = Date.now() + 100;
      await a.change('x', put('short', '1', soon), undefined);
      await a.change('x', put('long', '2', soon + LIVES_MS), undefined);
      await a.change('x', put('prolonged', '3', soon), undefined);
      await a.change('x', put('prolonged', '4'), undefined);
      expect((await a.snapshot('x')).entries).toHaveLength(3);
      await sleep(150);
      const { seq, entries } = await b.snapshot('x');
      expect(seq).toBe(4);
      expect(entries.map(({ field }) => field).sort()).toEqual(['long', 'prolonged']);
      expect(await b.change('x', put('short', '5'), null)).toBe(5);
    });
  });

  describe('reading', () => {
    test('changes come in their order with their places, from behind the one that is known', async () => {
      await a.change('x', put('f', '1', 9e12), undefined);
      await a.change('x', { field: 'f', text: 'dropped' }, undefined);
      await a.change('y', put('g', '2'), undefined);
      const { changes } = await b.read('b', after({ x: 0, y: 1, z: 0 }), 0);
      expect(changes).toEqual({
        x: [
          { seq: 1, ...put('f', '1', 9e12) },
          { seq: 2, field: 'f', text: 'dropped' },
        ],
      });
      expect((await b.read('b', after({ x: 1 }), 0)).changes['x']).toHaveLength(1);
    });

    test('waits for a change, and for as long as it is told', async () => {
      const waiting = b.read('b', after({ x: 0 }), 20_000);
      await a.change('other', put('f', '1'), undefined);
      await a.change('x', put('f', '1'), undefined);
      expect((await waiting).changes['x']).toEqual([{ seq: 1, ...put('f', '1') }]);
      expect(await b.read('b', after({ x: 1 }), 50)).toEqual({ changes: {}, post: [], postPosition: '0' });
    });

    test('a log that was cut begins later than asked for', async () => {
      for (let i = 0; i < 5 * LOG_LENGTH; i += 1) await a.change('x', put(`f${i}`, '1'), undefined);
      const log = (await b.read('b', after({ x: 1 }), 0)).changes['x'] ?? [];
      expect(log.length).toBeGreaterThanOrEqual(LOG_LENGTH);
      expect(log.length).toBeLessThan(3 * LOG_LENGTH);
      expect(log[0]?.seq).toBeGreaterThan(2);
      expect(log.at(-1)?.seq).toBe(5 * LOG_LENGTH);
    });

    test('more than fits into one answer comes with the next', async () => {
      const seen: number[] = [];
      for (let i = 0; i < 90; i += 1) await a.change('x', put(`f${i}`, '1'), undefined);
      while (seen.length < 90) {
        const { changes } = await b.read('b', after({ x: seen.at(-1) ?? 0 }), 0);
        seen.push(...(changes['x'] ?? []).map(({ seq }) => seq));
      }
      expect(seen).toEqual(Array.from({ length: 90 }, (_, i) => i + 1));
    });

    test('post comes once, in its order, to the one it is for', async () => {
      const waiting = b.read('b', after({}), 20_000);
      await a.post('c', 'for another');
      await a.post('b', 'first');
      const read = await waiting;
      await a.post('b', 'second');
      await a.post('b', 'third');
      const next = await b.read('b', after({}, read.postPosition), 20_000);
      expect([...read.post, ...next.post]).toEqual(['first', 'second', 'third']);
      expect((await b.read('b', after({}, next.postPosition), 0)).post).toEqual([]);
      // Positions go by a clock of milliseconds.
      await sleep(2);
      await stores.flush();
      await a.post('b', 'after a flush');
      expect((await b.read('b', after({}, next.postPosition), 20_000)).post).toEqual(['after a flush']);
    });
  });

  describe('locks', () => {
    test('one has it, keeps it, and gives it back', async () => {
      expect(await a.lock('task', 'a', LIVES_MS)).toBe(true);
      expect(await b.lock('task', 'b', LIVES_MS)).toBe(false);
      expect(await a.lock('task', 'a', LIVES_MS)).toBe(true);
      await b.unlock('task', 'b');
      expect(await b.lock('task', 'b', LIVES_MS)).toBe(false);
      expect(await b.lock('another', 'b', LIVES_MS)).toBe(true);
      await a.unlock('task', 'a');
      expect(await b.lock('task', 'b', LIVES_MS)).toBe(true);
    });

    test('one that does not keep it loses it', async () => {
      await a.lock('task', 'a', DIES_MS);
      await sleep(2 * DIES_MS);
      expect(await b.lock('task', 'b', LIVES_MS)).toBe(true);
      expect(await a.lock('task', 'a', LIVES_MS)).toBe(false);
    });
  });

  test('a store that is closed says so', async () => {
    const waiting = a.read('a', after({}), 20_000);
    a.close();
    await expect(waiting).rejects.toThrow(/closed/);
    await expect(live(a, 'a')).rejects.toThrow('the store is closed');
  });
}

describe('in memory', () => {
  let store: MemoryStore;
  beforeAll(() => {
    store = new MemoryStore({ timers: machineTimers, wall: Date.now, logLength: LOG_LENGTH });
  });
  behaves({
    client: () => Promise.resolve(new MemoryClient(store)),
    flush: () => Promise.resolve(store.flush()),
  });
});

describeWith('redis-server', (program) => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start(program, { password: 'canary-of-redis' });
  });
  afterAll(() => redis.stop());
  behaves({
    async client() {
      const { url, password } = redis;
      const store = new RedisStore({
        name: 'test',
        url,
        password,
        ca: undefined,
        sentinels: [],
        sentinelPassword: undefined,
        timeoutMs: 10_000,
        logLength: LOG_LENGTH,
      });
      await store.connect();
      return store;
    },
    async flush() {
      await redis.ask('flushall');
    },
  });
});

/** Places in every store of a fleet: how many there may be over all instances. */
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, expect, test } from 'vitest';
import type { FleetStore } from '../../../core/fleet/store.ts';
import { random } from '../../support/sequences.ts';
import { DIES_MS, eachStore, live, LIVES_MS } from './each-store.ts';

eachStore((of) => {
  const full = async (id: string, key: string, mine: number, limit?: number): Promise<unknown> =>
    (await of.a.take(id, [{ key, mine, limit }])).full;

  beforeEach(async () => {
    await live(of.a, 'a');
    await live(of.b, 'b');
  });

  test('are taken up to the limit over all instances', async () => {
    expect(await full('a', 'p', 1, 2)).toBeUndefined();
    expect(await full('b', 'p', 1, 2)).toBeUndefined();
    expect(await full('b', 'p', 2, 2)).toBe(0);
    await of.a.count('a', [['p', 0]]);
    expect(await full('b', 'p', 2, 2)).toBeUndefined();
  });

  test('are all taken or none', async () => {
    const places = (mine: number): Parameters<FleetStore['take']>[1] => [
      { key: 'wide', mine, limit: 10 },
      { key: 'counted', mine, limit: undefined },
      { key: 'narrow', mine, limit: 1 },
    ];
    expect(await of.a.take('a', places(1))).toEqual({ full: undefined, lived: true });
    expect(await of.b.take('b', places(1))).toEqual({ full: 2, lived: true });
    expect(await full('b', 'wide', 1, 1)).toBe(0);
    expect(await full('b', 'wide', 1, 2)).toBeUndefined();
    expect(await full('b', 'counted', 1, 1)).toBe(0);
  });

  test('that are only counted are never full, and count for a limit that comes later', async () => {
    for (let mine = 1; mine <= 5; mine += 1) expect(await full('a', 'p', mine)).toBeUndefined();
    expect(await full('b', 'p', 1, 5)).toBe(0);
  });

  test('are refused while a lowered limit is below what is held, also where an instance has given one back', async () => {
    await of.a.count('a', [['p', 5]]);
    expect(await full('a', 'p', 5, 3)).toBe(0);
    expect(await full('a', 'p', 3, 3)).toBeUndefined();
  });

  test('are told as they are, not as differences', async () => {
    for (const mine of [3, 3, 1]) expect(await of.a.count('a', [['p', mine]])).toBe(true);
    expect(await full('b', 'p', 1, 2)).toBeUndefined();
    expect(await full('b', 'p', 2, 2)).toBe(0);
  });

  test('of a place that is told twice the last counts', async () => {
    const twice = { key: 'p', mine: 1, limit: 1 };
    expect(await of.a.take('a', [twice, twice])).toEqual({ full: undefined, lived: true });
    await of.a.count('a', [
      ['p', 0],
      ['p', 2],
    ]);
    expect(await full('b', 'p', 1, 2)).toBe(0);
    await of.a.count('a', [
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
    await Promise.all(ids.map((id, i) => oneOf(id, i % 2 ? of.a : of.b)));
    for (const id of ['c', 'd']) await of.a.leave(id);
    for (const id of ['e', 'f', 'g']) await live(of.a, id, 1);
    await sleep(DIES_MS);
    await live(of.a, 'a');
    for (const key of keys) expect(await full('a', key, limit, limit)).toBeUndefined();
  });

  test('no place and no count are nothing', async () => {
    expect(await of.a.take('a', [])).toEqual({ full: undefined, lived: true });
    expect(await of.a.count('a', [])).toBe(true);
    expect(await of.a.count('nobody', [])).toBe(false);
  });

  test('a limit of none lets nobody in', async () => {
    expect(await full('a', 'p', 1, 0)).toBe(0);
  });

  test('whoever does not live takes nothing and counts nothing', async () => {
    expect(await of.a.take('nobody', [{ key: 'p', mine: 1, limit: 9 }])).toEqual({
      full: undefined,
      lived: false,
    });
    expect(await of.a.count('nobody', [['p', 1]])).toBe(false);
    expect(await full('b', 'p', 1, 1)).toBeUndefined();
  });

  test('of an instance that leaves are free', async () => {
    await of.a.count('a', [['p', 5]]);
    await of.a.leave('a');
    expect(await full('b', 'p', 1, 1)).toBeUndefined();
  });

  test('of an instance that died are free with the next beat of any, however many they are', async () => {
    const many = Array.from({ length: 5_000 }, (_, i) => [`p${i}`, 2] as const);
    await of.a.beat({ id: 'c', text: '' }, [], LIVES_MS);
    await of.a.count('c', many);
    expect(await full('b', 'p4999', 1, 2)).toBe(0);
    await of.a.beat({ id: 'c', text: '' }, [], DIES_MS);
    await sleep(2 * DIES_MS);
    expect((await of.a.take('c', [{ key: 'p0', mine: 1, limit: undefined }])).lived).toBe(false);
    await live(of.b, 'b');
    const taken = async (): Promise<unknown> =>
      (await of.b.take('b', many.map(([key]) => ({ key, mine: 1, limit: 1 })).slice(0, 1_000))).full;
    await expect.poll(taken).toBeUndefined();
    for (const key of ['p1000', 'p4999']) await expect.poll(() => full('b', key, 1, 1)).toBeUndefined();
  });

  test('of an instance that died and is back are what it tells then', async () => {
    await of.b.beat({ id: 'b', text: '' }, [], DIES_MS);
    await of.b.count('b', [
      ['old', 4],
      ['both', 4],
    ]);
    await sleep(2 * DIES_MS);
    expect((await live(of.b, 'b')).lived).toBe(false);
    await of.b.count('b', [['both', 1]]);
    await expect.poll(() => full('a', 'old', 1, 1)).toBeUndefined();
    await expect.poll(() => full('a', 'both', 1, 2)).toBeUndefined();
    expect(await full('a', 'both', 2, 2)).toBe(0);
  });
});

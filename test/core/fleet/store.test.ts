/** What every store of a fleet does: one table of behaviour for Redis and for the one in memory. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { INSTANCE_NUMBERS } from '../../../core/contract/instance-numbers.ts';
import type { FleetStore } from '../../../core/fleet/store.ts';
import { DIES_MS, eachStore, live, LIVES_MS, LOG_LENGTH } from './each-store.ts';

eachStore((of) => {
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
      expect((await live(of.a, 'a')).lived).toBe(false);
      expect((await live(of.a, 'a')).lived).toBe(true);
    });

    test('each hears of all others, of what they say now, and of their numbers', async () => {
      const [{ number: one }, { number: two }] = [await live(of.a, 'a'), await live(of.b, 'b')];
      await of.b.beat({ id: 'b', text: 'says more' }, [], LIVES_MS);
      const { live: known } = await live(of.a, 'a');
      expect([...known].sort((x, y) => x.id.localeCompare(y.id))).toEqual([
        { id: 'a', text: 'text of a', number: one },
        { id: 'b', text: 'says more', number: two },
      ]);
    });

    test('whoever does not beat is dead for the others, and has not lived when it is back', async () => {
      await live(of.a, 'a', DIES_MS);
      await sleep(2 * DIES_MS);
      expect((await live(of.b, 'b')).live.map(({ id }) => id)).toEqual(['b']);
      const back = await live(of.a, 'a');
      expect(back.lived).toBe(false);
      expect(back.live).toHaveLength(2);
    });

    test('whoever leaves is dead at once', async () => {
      await live(of.a, 'a');
      await of.a.leave('a');
      expect((await live(of.b, 'b')).live).toHaveLength(1);
      expect(await of.a.count('a', [['place', 1]])).toBe(false);
    });

    test('numbers differ, are kept, and are in the range', async () => {
      const ids = Array.from({ length: 50 }, (_, i) => `i${i}`);
      const clients = await Promise.all(ids.map(() => of.client()));
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
      const { number } = await live(of.a, 'a', DIES_MS);
      await sleep(2 * DIES_MS);
      expect((await live(of.b, 'b')).number).not.toBe(number);
      expect((await live(of.a, 'a')).number).toBe(number);
      await of.flush();
      expect((await live(of.a, 'a')).number).toBe(number);
    });

    test('when all numbers are taken the next has none, until one leaves', async () => {
      const count = INSTANCE_NUMBERS.last - INSTANCE_NUMBERS.first + 1;
      // At once: they are kept for 30 s.
      await Promise.all(
        Array.from({ length: count }, (_, i) => of.b.beat({ id: `i${i}`, text: '' }, [], LIVES_MS)),
      );
      expect((await live(of.a, 'late')).number).toBeUndefined();
      await of.b.leave('i7');
      expect((await live(of.a, 'late')).number).toBeDefined();
    });

    test('the epoch is the same for all, and another one after a flush', async () => {
      const { epoch } = await live(of.a, 'a');
      expect((await live(of.b, 'b')).epoch).toBe(epoch);
      expect((await live(of.a, 'a')).epoch).toBe(epoch);
      await of.flush();
      const flushed = await live(of.a, 'a');
      expect(flushed.epoch).not.toBe(epoch);
      expect(flushed.lived).toBe(false);
    });

    test('a beat tells the last change of each board that is asked for', async () => {
      await of.a.change('x', put('f', '1'), undefined);
      await of.a.change('x', put('f', '2'), undefined);
      const { latest } = await of.b.beat({ id: 'b', text: '' }, ['x', 'never used'], LIVES_MS);
      expect(latest).toEqual({ x: 2, 'never used': 0 });
    });
  });

  describe('boards', () => {
    test('what is put is in the snapshot, in the order of changes as of the last', async () => {
      expect(await of.a.snapshot('x')).toEqual({ seq: 0, entries: [] });
      expect(await of.a.change('x', put('f', '1'), undefined)).toBe(1);
      expect(await of.b.change('x', put('g', '2'), undefined)).toBe(2);
      expect(await of.a.change('x', put('f', '3'), undefined)).toBe(3);
      expect(await of.b.change('x', { field: 'g', text: 'dropped' }, undefined)).toBe(4);
      expect(await of.b.snapshot('x')).toEqual({ seq: 4, entries: [put('f', '3')] });
    });

    test('boards have nothing in common', async () => {
      await of.a.change('x', put('f', '1'), undefined);
      expect(await of.a.change('y', put('f', '2'), undefined)).toBe(1);
      expect((await of.a.snapshot('x')).entries).toEqual([put('f', '1')]);
    });

    test.each(['a b', ':', 'x:log', '{y}', 'ž"\\'])('board and field may be named %j', async (name) => {
      await of.a.change('x', put('f', '1'), undefined);
      await of.a.change(name, put(name, name), undefined);
      expect(await of.b.snapshot(name)).toEqual({ seq: 1, entries: [put(name, name)] });
      expect((await of.b.read('b', after({ [name]: 0 }), 0)).changes[name]).toHaveLength(1);
      expect(await of.a.change(name, put(name, 'next'), name)).toBe(2);
    });

    test('a change that expects a value or none is made only where that is there', async () => {
      expect(await of.a.change('x', put('f', '1'), 'another')).toBeUndefined();
      expect(await of.a.change('x', put('f', '1'), null)).toBe(1);
      expect(await of.b.change('x', put('f', '2'), null)).toBeUndefined();
      expect(await of.b.change('x', put('f', '2'), '1')).toBe(2);
      expect(await of.a.change('x', { field: 'f', text: '' }, '1')).toBeUndefined();
      expect(await of.a.change('x', { field: 'f', text: '' }, '2')).toBe(3);
      expect(await of.a.change('x', put('f', '3'), null)).toBe(4);
      // What was refused is in no log.
      expect((await of.a.read('a', after({ x: 0 }), 0)).changes['x']).toHaveLength(4);
    });

    test('of many that expect the same, one is made', async () => {
      const tries = Array.from({ length: 20 }, (_, i) =>
        (i % 2 ? of.a : of.b).change('x', put('f', String(i)), null),
      );
      expect((await Promise.all(tries)).filter((seq) => seq !== undefined)).toEqual([1]);
    });

    test('a value leaves by itself when its time is over', async () => {
      const soon = Date.now() + 100;
      await of.a.change('x', put('short', '1', soon), undefined);
      await of.a.change('x', put('long', '2', soon + LIVES_MS), undefined);
      await of.a.change('x', put('prolonged', '3', soon), undefined);
      await of.a.change('x', put('prolonged', '4'), undefined);
      expect((await of.a.snapshot('x')).entries).toHaveLength(3);
      await sleep(150);
      const { seq, entries } = await of.b.snapshot('x');
      expect(seq).toBe(4);
      expect(entries.map(({ field }) => field).sort()).toEqual(['long', 'prolonged']);
      expect(await of.b.change('x', put('short', '5'), null)).toBe(5);
    });
  });

  describe('reading', () => {
    test('changes come in their order with their places, from behind the one that is known', async () => {
      await of.a.change('x', put('f', '1', 9e12), undefined);
      await of.a.change('x', { field: 'f', text: 'dropped' }, undefined);
      await of.a.change('y', put('g', '2'), undefined);
      const { changes } = await of.b.read('b', after({ x: 0, y: 1, z: 0 }), 0);
      expect(changes).toEqual({
        x: [
          { seq: 1, ...put('f', '1', 9e12) },
          { seq: 2, field: 'f', text: 'dropped' },
        ],
      });
      expect((await of.b.read('b', after({ x: 1 }), 0)).changes['x']).toHaveLength(1);
    });

    test('waits for a change, and for as long as it is told', async () => {
      const waiting = of.b.read('b', after({ x: 0 }), 20_000);
      await of.a.change('other', put('f', '1'), undefined);
      await of.a.change('x', put('f', '1'), undefined);
      expect((await waiting).changes['x']).toEqual([{ seq: 1, ...put('f', '1') }]);
      expect(await of.b.read('b', after({ x: 1 }), 50)).toEqual({ changes: {}, post: [], postPosition: '0' });
    });

    test('a log that was cut begins later than asked for', async () => {
      for (let i = 0; i < 5 * LOG_LENGTH; i += 1) await of.a.change('x', put(`f${i}`, '1'), undefined);
      const log = (await of.b.read('b', after({ x: 1 }), 0)).changes['x'] ?? [];
      expect(log.length).toBeGreaterThanOrEqual(LOG_LENGTH);
      expect(log.length).toBeLessThan(3 * LOG_LENGTH);
      expect(log[0]?.seq).toBeGreaterThan(2);
      expect(log.at(-1)?.seq).toBe(5 * LOG_LENGTH);
    });

    test('more than fits into one answer comes with the next', async () => {
      const seen: number[] = [];
      for (let i = 0; i < 90; i += 1) await of.a.change('x', put(`f${i}`, '1'), undefined);
      while (seen.length < 90) {
        const { changes } = await of.b.read('b', after({ x: seen.at(-1) ?? 0 }), 0);
        seen.push(...(changes['x'] ?? []).map(({ seq }) => seq));
      }
      expect(seen).toEqual(Array.from({ length: 90 }, (_, i) => i + 1));
    });

    test('post comes once, in its order, to the one it is for', async () => {
      const waiting = of.b.read('b', after({}), 20_000);
      await of.a.post('c', 'for another');
      await of.a.post('b', 'first');
      const read = await waiting;
      await of.a.post('b', 'second');
      await of.a.post('b', 'third');
      const next = await of.b.read('b', after({}, read.postPosition), 20_000);
      expect([...read.post, ...next.post]).toEqual(['first', 'second', 'third']);
      expect((await of.b.read('b', after({}, next.postPosition), 0)).post).toEqual([]);
      // Positions go by a clock of milliseconds.
      await sleep(2);
      await of.flush();
      await of.a.post('b', 'after a flush');
      expect((await of.b.read('b', after({}, next.postPosition), 20_000)).post).toEqual(['after a flush']);
    });
  });

  describe('locks', () => {
    test('one has it, keeps it, and gives it back', async () => {
      expect(await of.a.lock('task', 'a', LIVES_MS)).toBe(true);
      expect(await of.b.lock('task', 'b', LIVES_MS)).toBe(false);
      expect(await of.a.lock('task', 'a', LIVES_MS)).toBe(true);
      await of.b.unlock('task', 'b');
      expect(await of.b.lock('task', 'b', LIVES_MS)).toBe(false);
      expect(await of.b.lock('another', 'b', LIVES_MS)).toBe(true);
      await of.a.unlock('task', 'a');
      expect(await of.b.lock('task', 'b', LIVES_MS)).toBe(true);
    });

    test('one that does not keep it loses it', async () => {
      await of.a.lock('task', 'a', DIES_MS);
      await sleep(2 * DIES_MS);
      expect(await of.b.lock('task', 'b', LIVES_MS)).toBe(true);
      expect(await of.a.lock('task', 'a', LIVES_MS)).toBe(false);
    });
  });

  test('a store that is closed says so', async () => {
    const waiting = of.a.read('a', after({}), 20_000);
    of.a.close();
    await expect(waiting).rejects.toThrow(/closed/);
    await expect(live(of.a, 'a')).rejects.toThrow('the store is closed');
  });
});

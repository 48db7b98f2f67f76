/** Instances of which one cannot be told from another by its name, or whose clocks differ. In virtual time. */
import { expect, onTestFinished, test } from 'vitest';
import { BOARD, TestInstance } from '../../support/fleet-instance.ts';
import { MemoryClient } from '../../support/memory-client.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { VirtualTime } from '../../support/virtual-time.ts';

const HOUR_MS = 3_600_000;

/** Two that live; the clock of the second is ahead by so many milliseconds. */
async function two(
  instance: readonly [string, string],
  aheadMs = 0,
): Promise<{ time: VirtualTime; a: TestInstance<MemoryClient>; b: TestInstance<MemoryClient> }> {
  const time = new VirtualTime();
  const store = new MemoryStore({ timers: time });
  const begin = async (name: string, at: 0 | 1): Promise<TestInstance<MemoryClient>> => {
    const one = new TestInstance(name, {
      store: new MemoryClient(store),
      timers: time,
      clock: () => time.now() + at * aheadMs,
      options: { instance: instance[at] },
    });
    onTestFinished(() => time.settle(one.member.close()));
    return time.settle(one.start());
  };
  const [a, b] = [await begin('a', 0), await begin('b', 1)];
  await time.pass(1_100);
  return { time, a, b };
}

test('two with one instance name: both live, with numbers of their own, and a proof asks both', async () => {
  const { time, a, b } = await two(['same', 'same']);
  expect(a.member.state.instances.map(({ id, name }) => [id, name])).toEqual([
    ['id-of-a', 'same'],
    ['id-of-b', 'same'],
  ]);
  expect(a.member.state.number).not.toBe(b.member.state.number);
  b.hangs = true;
  await time.settle(a.put('x', 1));
  expect(await time.settle(a.member.proof(BOARD, 500))).toEqual({ live: 2, missing: ['same'] });
});

test.each([HOUR_MS, -HOUR_MS])(
  'clock off by %i ms: both live, limits hold, and the later change of a value wins, whoever made it',
  async (aheadMs) => {
    const { time, a, b } = await two(['a', 'b'], aheadMs);
    await time.pass(20_000);
    for (const one of [a, b]) {
      expect(one.member.state.instances).toHaveLength(2);
      expect(one.member.state.isStale).toBe(false);
    }
    expect(await time.settle(a.logsIn('key', 1))).toBe(true);
    expect(await time.settle(b.logsIn('key', 1))).toBe(false);
    for (const [at, one] of [a, b, a, b].entries()) {
      await time.settle(one.put('x', at));
      await time.pass(100);
      expect([a.values, b.values]).toEqual([{ x: at }, { x: at }]);
    }
  },
);

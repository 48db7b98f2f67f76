/** Ends of very many sessions, which leave time for others in between. */
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { GatewayError } from '../../core/index.ts';
import { SessionEnds } from '../../plugins/jwt/session-ends.ts';

const REVOKED = new GatewayError('admin_shutdown', 'revoked');

/** Sessions that take so long to end, by a clock that stands still otherwise. */
function sessions(count: number, endMs: number) {
  const ended: number[] = [];
  const all = Array.from({ length: count }, (_, n) => ({
    end() {
      ended.push(n);
      vi.advanceTimersByTime(endMs);
    },
  }));
  return { all, ended };
}

test('few end at once, and very many a few in each turn, in their order, with those that come meanwhile', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const ends = new SessionEnds();
  const few = sessions(3, 1);
  ends.end(few.all, REVOKED);
  expect(few.ended).toHaveLength(3);
  await turn();
  const { all, ended } = sessions(100, 1);
  ends.end(all.slice(0, 50), REVOKED);
  ends.end(all.slice(50), REVOKED);
  const sizes = [ended.length];
  while (ended.length < 100) {
    await turn();
    sizes.push(ended.length);
  }
  expect(sizes).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
  expect(ended).toEqual(ended.toSorted((a, b) => a - b));
  await turn();
  ends.end(few.all, REVOKED);
  expect(few.ended).toHaveLength(6);
  vi.useRealTimers();
});

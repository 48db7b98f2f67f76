/** Token buckets in memory: never too many, never forgotten while they matter, and bounded. */
import * as fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import type { Session } from '../../core/index.ts';
import { ANYHOW_MS, Buckets, GO } from '../../plugins/rate-limit/bucket.ts';
import { Limiter } from '../../plugins/rate-limit/limiter.ts';
import { parsePolicy } from '../../plugins/rate-limit/policy.ts';
import { keyOf } from '../../plugins/rate-limit/whose.ts';

function at(limit = 1_000): { buckets: Buckets; clock: { now: number } } {
  const clock = { now: 1_000 };
  return { clock, buckets: new Buckets(limit, () => clock.now) };
}

const five = { intervalMs: 200, size: 5 };

test('in no span of time are there more than burst and rate allow', () => {
  const arrivals = fc.array(
    fc.tuple(fc.double({ min: 0, max: 500, noNaN: true }), fc.integer({ min: 1, max: 3 })),
  );
  const bucket = fc.record({ intervalMs: fc.double({ min: 0.1, max: 300, noNaN: true }), size: fc.nat(20) });
  fc.assert(
    fc.property(bucket, arrivals, ({ intervalMs, size }, all) => {
      const { buckets, clock } = at();
      const taken: [when: number, points: number][] = [];
      for (const [pause, points] of all) {
        clock.now += pause;
        const answer = buckets.take('k', { intervalMs, size }, points, 0);
        if (answer.kind === 'go') taken.push([clock.now, points]);
      }
      for (const [index, [from]] of taken.entries()) {
        let sum = 0;
        for (const [when, points] of taken.slice(index)) {
          sum += points;
          expect(sum).toBeLessThanOrEqual(size + (when - from) / intervalMs + 0.2);
        }
      }
    }),
  );
});

test('a refusal says when to come again, takes nothing, and coming then succeeds', () => {
  const { buckets, clock } = at();
  for (let i = 0; i < 5; i += 1) expect(buckets.take('k', five, 1, 0)).toBe(GO);
  for (let i = 0; i < 9; i += 1) expect(buckets.take('k', five, 1, 0)).toMatchObject({ kind: 'no' });
  clock.now += 200;
  expect(buckets.take('k', five, 1, 0)).toBe(GO);
  expect(buckets.take('k', five, 1, 0)).toMatchObject({ kind: 'no' });
});

test('ahead of time each gets a turn of its own, up to a limit', () => {
  const { buckets } = at();
  for (let i = 0; i < 5; i += 1) buckets.take('k', five, 1, 0);
  const waits = [1, 2, 3, 4].map(() => buckets.take('k', five, 1, 600));
  expect(waits.map((answer) => (answer.kind === 'wait' ? Math.round(answer.ms) : answer.kind))).toEqual([
    200,
    400,
    600,
    'no',
  ]);
});

test('what is given back is there again, and never more than fits in', () => {
  const { buckets } = at();
  for (let i = 0; i < 5; i += 1) buckets.take('k', five, 1, 0);
  buckets.take('k', five, -1, ANYHOW_MS);
  expect(buckets.take('k', five, 1, 0)).toBe(GO);
  buckets.take('k', five, -100, ANYHOW_MS);
  expect(buckets.size).toBe(0);
  for (let i = 0; i < 5; i += 1) expect(buckets.take('k', five, 1, 0)).toBe(GO);
  expect(buckets.take('k', five, 1, 0).kind).toBe('no');
});

test('a flood of a million keys is remembered up to the limit, and who keeps coming is not forgotten', () => {
  const { buckets } = at(1_000);
  for (let i = 0; i < 1_000_000; i += 1) {
    buckets.take(`10.${i}`, five, 1, 0);
    if (i % 100 === 0) buckets.take('offender', five, 1, ANYHOW_MS);
  }
  expect(buckets.size).toBe(1_000);
  expect(buckets.take('offender', five, 1, 0).kind).toBe('no');
});

test('buckets that are full again make room', () => {
  const { buckets, clock } = at();
  for (let i = 0; i < 500; i += 1) buckets.take(`old ${i}`, five, 1, 0);
  clock.now += 10_000;
  for (let i = 0; i < 300; i += 1) buckets.take(`new ${i}`, five, 1, 0);
  expect(buckets.size).toBe(300);
});

test.each([
  ['192.0.2.1', '192.0.2.2', false],
  ['2001:db8:1:2::1', '2001:db8:1:2:ffff::9', true],
  ['2001:db8:1:2::1', '2001:DB8:1:2:0:0:0:2', true],
  ['2001:db8:1:2::1', '2001:db8:1:3::1', false],
  ['fe80::1%eth0', 'fe80::2%eth1', true],
])('%s and %s count together: %s', (one, other, together) => {
  const key = (address: string) => keyOf('address', { client: { address } } as Session, undefined);
  expect(key(one) === key(other)).toBe(together);
});

test('failures close the door for so long, and then there may be as many again', async () => {
  const { buckets, clock } = at();
  const failedLogins = { per: 'address', limit: '1/m', burst: 3, block: '10m' } as const;
  const [policy] = parsePolicy({ failedLogins }).limits.failedLogins;
  if (!policy) throw new Error('there is one');
  const limiter = new Limiter(policy, { buckets, failOpen: true });
  for (let round = 0; round < 3; round += 1) {
    for (let count = 0; count < 3; count += 1) {
      expect((await limiter.room('k')).kind).toBe('go');
      limiter.fail('k');
      await Promise.resolve();
    }
    await vi.waitFor(async () => expect((await limiter.room('k')).kind).toBe('no'), 30_000);
    clock.now += 599_000;
    expect(await limiter.room('k')).toMatchObject({ kind: 'no', ms: expect.closeTo(1_000, 0) });
    clock.now += 1_000;
  }
});

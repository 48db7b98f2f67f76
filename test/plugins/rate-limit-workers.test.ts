/** Rate limits over several workers: what all of them let through together, whatever dies. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { sharedWith } from '../../core/gateway/shared-with-workers.ts';
import { Buckets } from '../../plugins/rate-limit/bucket.ts';
import { LeadBuckets } from '../../plugins/rate-limit/lead-buckets.ts';
import { WorkerBuckets } from '../../plugins/rate-limit/worker-buckets.ts';
import { linkWorkers } from '../support/worker-links.ts';
import type { LinkedWorkers } from '../support/worker-links.ts';

let workers: LinkedWorkers;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  return () => vi.useRealTimers();
});
afterEach(() => workers.close());

function bucketsOf(coordination: LinkedWorkers['links'][number], borrows: boolean): WorkerBuckets {
  const { worker, post } = sharedWith({ coordination }, 'rate-limit');
  const lead = new LeadBuckets({ worker, post, alone() {} }, 1_000);
  lead.open({ alone: (_, run) => coordination.whenLead(() => void run()) });
  return new WorkerBuckets({ lead, id: 'the limit', borrows, own: new Buckets(1_000) });
}

function begin(count: number, borrows: boolean): WorkerBuckets[] {
  workers = linkWorkers(count);
  return workers.links.map((link) => bucketsOf(link, borrows));
}

/** Lets everything that is on its way arrive. */
async function arrive(): Promise<void> {
  for (let n = 0; n < 12; n += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** By how much the most in any window is above `size` + time / interval. */
function above(times: readonly number[], { size, intervalMs }: { size: number; intervalMs: number }): number {
  let [worst, least] = [-Infinity, Infinity];
  for (const [at, time] of times.entries()) {
    least = Math.min(least, at - time / intervalMs);
    worst = Math.max(worst, at + 1 - time / intervalMs - least - size);
  }
  return worst;
}

const random = (below: number): number => Math.floor(Math.random() * below);

describe.each([
  ['lent in parts', true, { size: 400, intervalMs: 2 }],
  ['asked one by one', false, { size: 30, intervalMs: 20 }],
])('a limit that is %s', (_, borrows, bucket) => {
  test('never lets more through in any time than one gateway would, under any skew, and hardly less', async () => {
    const members = begin(4, borrows);
    await arrive();
    const times: number[] = [];
    const hit = async (member: WorkerBuckets): Promise<void> => {
      const answer = await member.take('ada', bucket, 1, 0);
      if (answer.kind === 'go') times.push(performance.now());
    };
    const STEP_MS = 20;
    for (let step = 0; step < 400; step += 1) {
      // Storms, silences, and now one worker, now all of them.
      const busy = Math.floor(step / 40) % 3;
      const count = busy === 2 ? random(3) : 40;
      const hits = Array.from({ length: count }, () =>
        hit(members[busy === 0 ? (step >> 5) % 4 : random(4)] as WorkerBuckets),
      );
      await arrive();
      await Promise.all(hits);
      await vi.advanceTimersByTimeAsync(STEP_MS);
    }
    expect(above(times, bucket)).toBeLessThanOrEqual(0.01);
    // The first third of each round asks for more than there is.
    const first = times.filter((time) => time - (times[0] ?? 0) <= 40 * STEP_MS).length;
    const all = Math.min(40 * 40, bucket.size + (40 * STEP_MS) / bucket.intervalMs);
    expect(first).toBeGreaterThan(all * 0.85);
  });
});

test('what was lent and not used is returned after a moment', async () => {
  const [lead, other] = begin(2, true) as [WorkerBuckets, WorkerBuckets];
  const bucket = { size: 100, intervalMs: 1_000_000 };
  await arrive();
  const asked = other.take('ada', bucket, 1, 0);
  await arrive();
  expect(await asked).toEqual({ kind: 'go' });
  await vi.advanceTimersByTimeAsync(250);
  await arrive();
  let taken = 0;
  while ((await lead.take('ada', bucket, 1, 0)).kind === 'go') taken += 1;
  // All but what may be lent.
  expect(taken).toBe(100 - 1 - 5);
});

test('where the lead dies, the others go on with one fresh limit', async () => {
  const [, second, third] = begin(3, false) as [WorkerBuckets, WorkerBuckets, WorkerBuckets];
  const bucket = { size: 10, intervalMs: 1_000_000 };
  await arrive();
  const count = async (): Promise<number> => {
    const asked = Array.from({ length: 40 }, async (_, at) =>
      (at % 2 ? second : third).take('ada', bucket, 1, 0),
    );
    await arrive();
    return (await Promise.all(asked)).filter(({ kind }) => kind === 'go').length;
  };
  expect(await count()).toBe(10);
  workers.kill(1);
  await arrive();
  await vi.advanceTimersByTimeAsync(1_100);
  expect(await count()).toBe(10);
  expect(await count()).toBe(0);
});

test('where there is no lead, shares of all workers together are the limit', async () => {
  workers = linkWorkers(4, undefined, { ready: false });
  const members = workers.links.map((link) => bucketsOf(link, false));
  for (const size of [1, 3, 4, 10, 11]) {
    let go = 0;
    for (const member of members)
      for (let n = 0; n < 2 * size; n += 1) {
        const asked = member.take(`of ${size}`, { size, intervalMs: 1_000_000 }, 1, 0);
        await arrive();
        if ((await asked).kind === 'go') go += 1;
      }
    expect(go).toBe(size);
  }
});

/** Clients that come by the hundred and stay: a socket accepts several of them, and workers get equally many. */
import { expect, test } from 'vitest';
import { Dispatch } from '../../../core/workers/decisions/dispatch.ts';
import type { Lent } from '../../../core/workers/decisions/dispatch.ts';

const WORKERS = [1, 2, 3];

interface Stage {
  readonly dispatch: Dispatch;
  /** How many connections each worker has accepted. */
  readonly got: Map<number, number>;
  readonly reclaimed: number[];
  now: number;
  /** How many sockets have been lent. */
  lends: number;
  /** The worker that has the socket accepts all it may, after so many milliseconds. Returns how many. */
  accept(ms: number): number;
}

function stage(): Stage {
  let lent: { readonly worker: number; readonly loan: Lent } | undefined;
  const one: Stage = {
    got: new Map(),
    reclaimed: [],
    now: 0,
    lends: 0,
    dispatch: new Dispatch({
      listeners: ['default'],
      admin: false,
      lend(worker, loan) {
        one.lends += 1;
        lent = { worker, loan };
      },
      reclaim: (_, n) => void one.reclaimed.push(n),
      ask() {},
      lead: () => undefined,
      now: () => one.now,
      warn() {},
    }),
    accept(ms) {
      if (!lent) return 0;
      const { worker, loan } = lent;
      const count = loan.accepts ?? 0;
      one.now += ms;
      one.got.set(worker, (one.got.get(worker) ?? 0) + count);
      one.dispatch.accepted(worker, { n: loan.n, count, ...(count === 1 && { address: '10.0.0.1' }) });
      return count;
    },
  };
  for (const worker of WORKERS) one.dispatch.ready(worker);
  return one;
}

/** So many come, without a beat in between. Returns the most that one socket has accepted. */
function come(one: Stage, count: number, ms: number): number {
  let [all, most] = [0, 0];
  while (all < count) {
    const accepted = one.accept(ms);
    all += accepted;
    most = Math.max(most, accepted);
  }
  return most;
}

function beatAll({ dispatch, got }: Stage): void {
  for (const worker of WORKERS) {
    const accepted = got.get(worker) ?? 0;
    dispatch.beat(worker, { connections: accepted, accepted, lagMs: 0 });
  }
}

const differenceOf = ({ got }: Stage): number => Math.max(...got.values()) - Math.min(...got.values());

test('ten thousand in a second need some hundred messages, and no worker gets many more', () => {
  const one = stage();
  expect(come(one, 10_000, 2)).toBe(64);
  expect(one.lends).toBeLessThan(250);
  expect(differenceOf(one)).toBeLessThanOrEqual(64);
});

test('a few at once, or one behind the other, are spread one by one', () => {
  const one = stage();
  expect(come(one, 30, 0)).toBe(1);
  expect(come(one, 300, 11)).toBe(1);
  expect(differenceOf(one)).toBeLessThanOrEqual(1);
});

test('when a rush is over, the socket is asked for, and the next accepts one again', () => {
  const one = stage();
  come(one, 10_000, 2);
  one.now += 250;
  beatAll(one);
  expect(one.reclaimed).toHaveLength(1);
  expect(come(one, 50, 20)).toBe(1);
});

test('behind a death each is told of: none accepts several', () => {
  const one = stage();
  one.dispatch.gone(3, true);
  one.accept(1);
  expect(come(one, 1_000, 1)).toBe(1);
});

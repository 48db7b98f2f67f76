/** Which worker is replaced next, and when the rest stays: the decisions alone, time and processes are the test's. */
import { expect, test } from 'vitest';
import { READY_MS, Rolling } from '../../../core/workers/decisions/rolling.ts';

interface Stage {
  readonly rolling: Rolling;
  /** What was done to workers, and what the log says, in order. */
  readonly done: string[];
  /** The worker's process ends, and another one begins. */
  readonly ends: (worker: number) => void;
  readonly becomesReady: (worker: number) => void;
  /** The one timer that runs, in milliseconds from its begin. */
  readonly timerMs: number | undefined;
  readonly timeIsOver: () => void;
}

function stage(count: number): Stage {
  const ready = new Set(Array.from({ length: count }, (_, index) => index + 1));
  const done: string[] = [];
  let timer: { readonly ms: number; readonly run: () => void } | undefined;
  const tell = (fields: object, text: string): void =>
    void done.push(`${text} ${Object.values(fields).join(': ')}`.trim());
  const rolling = new Rolling({
    count,
    isReady: (worker) => ready.has(worker),
    retire: (worker) => void done.push(`retire ${worker}`),
    kill: (worker) => void done.push(`kill ${worker}`),
    after(ms, run) {
      const own = (timer = { ms, run });
      return () => void (timer === own && (timer = undefined));
    },
    log: { info: tell, warn: tell, error: tell },
  });
  return {
    rolling,
    done,
    ends: (worker) => rolling.gone(worker, ready.delete(worker)),
    becomesReady(worker) {
      ready.add(worker);
      rolling.ready();
    },
    get timerMs() {
      return timer?.ms;
    },
    timeIsOver: () => timer?.run(),
  };
}

test('each is replaced once, the lead last, and the next one only when the new one is ready', () => {
  const one = stage(3);
  const { rolling, done, ends, becomesReady } = one;
  rolling.begin();
  expect(done).toEqual(['replacing the workers 3', 'retire 3']);
  ends(3);
  expect(done).toHaveLength(2);
  becomesReady(3);
  expect(done.at(-1)).toBe('retire 2');
  ends(2);
  becomesReady(2);
  ends(1);
  becomesReady(1);
  expect(done.slice(2)).toEqual(['retire 2', 'retire 1', 'the workers are replaced 3']);
  expect(one.timerMs).toBeUndefined();
});

test('a second order meanwhile is told that it is under way; one behind the end begins anew', () => {
  const { rolling, done, ends, becomesReady } = stage(2);
  rolling.begin();
  rolling.begin();
  expect(done.at(-1)).toBe('the workers are being replaced already');
  for (const worker of [2, 1]) {
    ends(worker);
    becomesReady(worker);
  }
  rolling.begin();
  expect(done.slice(-3)).toEqual(['the workers are replaced 2', 'replacing the workers 2', 'retire 2']);
});

test('while one is missing no other one is taken away', () => {
  const { rolling, done, ends, becomesReady } = stage(2);
  ends(1);
  rolling.begin();
  expect(done).toEqual(['replacing the workers 2']);
  becomesReady(1);
  expect(done.at(-1)).toBe('retire 2');
});

test('one that dies meanwhile has a new process, and is not replaced again', () => {
  const { rolling, done, ends, becomesReady } = stage(3);
  rolling.begin();
  ends(2);
  ends(3);
  becomesReady(3);
  expect(done.at(-1)).toBe('retire 3');
  becomesReady(2);
  expect(done.at(-1)).toBe('retire 1');
});

test('where a new process does not start, the others stay', () => {
  const { rolling, done, ends, becomesReady } = stage(3);
  rolling.begin();
  ends(3);
  ends(3);
  expect(done.at(-1)).toBe('the workers are not all replaced the new worker 3 does not start: 2,1');
  becomesReady(3);
  expect(done.at(-1)).toContain('not all replaced');
});

/** Worker 3 retires, and the new process of worker 2 has not begun to serve when it ends. */
function givenUp(): Stage {
  const one = stage(3);
  one.rolling.begin();
  one.rolling.ending(3, 40_000);
  one.ends(2);
  one.ends(2);
  expect(one.done.at(-1)).toBe('the workers are not all replaced the new worker 2 does not start: 1');
  return one;
}

test('where a new process does not start, one that retires meanwhile ends in its time all the same', () => {
  const one = givenUp();
  expect(one.timerMs).toBeGreaterThan(40_000);
  one.timeIsOver();
  expect(one.done.at(-1)).toBe('kill 3');
});

test('one that has retired in time is not killed any more, although the others stay', () => {
  const one = givenUp();
  const { length } = one.done;
  one.ends(3);
  expect(one.timerMs).toBeUndefined();
  one.becomesReady(2);
  one.becomesReady(3);
  expect(one.done).toHaveLength(length);
});

test('an order while one retires since an earlier one waits for that, and does not replace it again', () => {
  const one = givenUp();
  one.becomesReady(2);
  one.rolling.begin();
  expect(one.done.at(-1)).toBe('replacing the workers 3');
  expect(one.timerMs).toBeGreaterThan(40_000);
  one.ends(3);
  expect(one.timerMs).toBe(READY_MS);
  for (const worker of [3, 2, 1]) {
    if (worker < 3) one.ends(worker);
    one.becomesReady(worker);
  }
  expect(one.done.slice(-4)).toEqual([
    'replacing the workers 3',
    'retire 2',
    'retire 1',
    'the workers are replaced 3',
  ]);
});

test.each(['replaced', 'given up'])(
  'when the gateway ends, one that retires (the others %s) has the time that it had',
  (how) => {
    const one = how === 'given up' ? givenUp() : stage(3);
    one.rolling.begin();
    if (how === 'replaced') one.rolling.ending(3, 40_000);
    one.rolling.end();
    one.rolling.ending(3, 1_000_000);
    expect(one.timerMs).toBe(46_000);
    one.timeIsOver();
    expect(one.done.at(-1)).toBe('kill 3');
    one.ends(3);
    one.rolling.close();
    expect(one.timerMs).toBeUndefined();
  },
);

test('where one does not become ready, as with a config that not all have, the others stay', () => {
  const one = stage(2);
  one.rolling.begin();
  one.ends(2);
  expect(one.timerMs).toBe(READY_MS);
  one.timeIsOver();
  expect(one.done.at(-1)).toBe('the workers are not all replaced not ready within 90 s: worker 2: 1');
});

test('one that does not end is killed a while after the time that it has said to need', () => {
  const one = stage(2);
  one.rolling.begin();
  one.rolling.ending(1, 1_000_000);
  expect(one.timerMs).toBeLessThan(60_000);
  one.rolling.ending(2, 40_000);
  expect(one.timerMs).toBeGreaterThan(40_000);
  one.timeIsOver();
  expect(one.done.at(-1)).toBe('kill 2');
  one.ends(2);
  one.becomesReady(2);
  expect(one.done.at(-1)).toBe('retire 1');
});

test('when the gateway ends nothing is replaced any more', () => {
  const one = stage(2);
  one.rolling.begin();
  one.rolling.end();
  one.ends(2);
  one.becomesReady(2);
  one.rolling.begin();
  expect(one.done).toEqual(['replacing the workers 2', 'retire 2']);
  expect(one.timerMs).toBeUndefined();
});

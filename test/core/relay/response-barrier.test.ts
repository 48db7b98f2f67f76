/** A message that waits until the answers have come on which the decision about it depends. */
import { expect, test } from 'vitest';
import { ResponseBarrier } from '../../../core/relay/statements/response-barrier.ts';

const FRAME = Buffer.from('a message');

/** A barrier on two objects whose answers a test gives. */
function stage(endsReady = false) {
  const needs = { one: false, other: false };
  let flushes = 0;
  const barrier = new ResponseBarrier(
    { outstanding: { endsReady }, flush: () => (flushes += 1) },
    { mustWait: () => needs.one },
    { mustWait: () => needs.other },
  );
  return { needs, barrier, flushes: () => flushes };
}

test('a message waits while one of both depends on an answer, and goes on with the answer that decides', async () => {
  const { needs, barrier } = stage();
  expect(barrier.isNeeded(0x51, FRAME)).toBe(false);
  needs.one = needs.other = true;
  expect(barrier.isNeeded(0x51, FRAME)).toBe(true);
  let over = false;
  const waiting = barrier.wait(0x51, FRAME).then(() => (over = true));
  needs.one = false;
  barrier.settled();
  await new Promise(setImmediate);
  expect(over).toBe(false);
  needs.other = false;
  barrier.settled();
  await waiting;
});

test('the server is made to send what it holds back, once, unless a Sync makes it do so', async () => {
  for (const [endsReady, times] of [
    [false, 1],
    [true, 0],
  ] as const) {
    const { needs, barrier, flushes } = stage(endsReady);
    needs.one = true;
    void barrier.wait(0x42, FRAME);
    expect(flushes()).toBe(0);
    await new Promise(setImmediate);
    barrier.settled();
    barrier.settled();
    expect(flushes()).toBe(times);
  }
});

test('without a message that waits an answer changes nothing, and without an object nothing waits', () => {
  const { barrier, flushes } = stage();
  barrier.settled();
  expect(flushes()).toBe(0);
  const alone = new ResponseBarrier({ outstanding: { endsReady: false }, flush() {} }, undefined, undefined);
  expect(alone.isNeeded(0x51, FRAME)).toBe(false);
});

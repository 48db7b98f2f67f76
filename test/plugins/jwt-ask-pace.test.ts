/** When a source of keys is asked again: by its pace, after failures later and later, and when it wants to be. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { AskPace } from '../../plugins/jwt/ask-pace.ts';
import { ServerBusy } from '../../plugins/jwt/download.ts';

const PACE = { refresh: 300_000, wait: Infinity, unknown: 30_000, retry: 1_000 };
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

function failed(...errors: readonly Error[]): AskPace {
  const pace = new AskPace(PACE);
  for (const error of errors) {
    pace.begin();
    pace.failed(error);
  }
  return pace;
}
const failures = (count: number): Error[] => Array.from({ length: count }, () => new Error('down'));

describe('the pause until the next question', () => {
  test.each<[string, readonly Error[], withKeys: number, without: number]>([
    ['an answer', [], 300_000, 300_000],
    ['a failure', failures(1), 30_000, 1_000],
    ['two', failures(2), 60_000, 2_000],
    ['ten', failures(10), 300_000, 30_000],
    ['an answer that asks for half a minute', [new ServerBusy(503, 30_000)], 30_000, 30_000],
    ['one that asks for a minute', [new ServerBusy(503, MINUTE)], MINUTE, MINUTE],
    // A page in front of the issuer may ask for hours: without keys nobody could log in for as long.
    ['one that asks for two minutes', [new ServerBusy(503, 2 * MINUTE)], 2 * MINUTE, MINUTE],
    ['one that asks for an hour', [new ServerBusy(429, HOUR)], HOUR, MINUTE],
    ['one that asks for a day', [new ServerBusy(429, 24 * HOUR)], HOUR, MINUTE],
    ['one that asks for nothing', [new ServerBusy(503, 0)], 30_000, 1_000],
    ['a failure of another kind behind it', [new ServerBusy(503, HOUR), new Error('down')], 60_000, 2_000],
  ])('after %s', (_, errors, withKeys, without) => {
    const pace = failed(...errors);
    expect([pace.pause(true), pace.pause(false)]).toEqual([withKeys, without]);
  });

  test('counts from the answer that asked for it', () => {
    const pace = failed(new ServerBusy(503, 40_000));
    vi.advanceTimersByTime(30_000);
    expect([pace.pause(true), pace.pause(false)]).toEqual([30_000, 10_000]);
    vi.advanceTimersByTime(30_000);
    expect(pace.pause(false)).toBe(1_000);
  });
});

test('a key that is not in the set is not asked for before the time that the server named', () => {
  const pace = failed(new ServerBusy(429, 2 * HOUR));
  vi.advanceTimersByTime(HOUR - 1);
  expect(pace.allowsUnknown).toBe(false);
  vi.advanceTimersByTime(1);
  expect(pace.allowsUnknown).toBe(true);
});

test('an answer ends all of it', () => {
  const pace = failed(...failures(5), new ServerBusy(429, HOUR));
  expect(pace.failing).toBe(true);
  pace.answered();
  expect([pace.failing, pace.pause(true), pace.pause(false)]).toEqual([false, 300_000, 300_000]);
});

test('a login waits for a new answer as soon as the last question is old enough', () => {
  const pace = new AskPace({ ...PACE, wait: 1_000 });
  expect(pace.isDue).toBe(true);
  pace.begin();
  expect(pace.isDue).toBe(false);
  vi.advanceTimersByTime(1_000);
  expect(pace.isDue).toBe(true);
});

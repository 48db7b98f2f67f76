/** Appointments for the end of a session, by a clock of the test's own. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ScheduledEnds } from '../../../core/connection/scheduled-ends.ts';
import { GatewayError } from '../../../core/contract/errors.ts';

const DAY_MS = 86_400_000;
const expired = new GatewayError('admin_shutdown', 'the token has expired');

beforeEach(() => void vi.useFakeTimers({ now: 0 }));
afterEach(() => {
  for (const ends of opened.splice(0)) ends.clear();
  vi.useRealTimers();
});

/** Appointments of all sessions share a timer. */
const opened: ScheduledEnds[] = [];

/** A session that notes what happens to it. */
function session(): { readonly ends: ScheduledEnds; readonly said: string[] } {
  const said: string[] = [];
  const ends = new ScheduledEnds({
    endWithin: (graceMs, error) => void said.push(`${Date.now()}: end within ${graceMs}: ${error.message}`),
    notice: (message) => void said.push(`${Date.now()}: ${message}`),
  });
  opened.push(ends);
  return { ends, said };
}

test('a session ends at its time, after its notice, and with its grace', () => {
  const { ends, said } = session();
  ends.add(new Date(10_000), expired, { noticeMs: 4_000, graceMs: 500 });
  vi.advanceTimersByTime(20_000);
  expect(said).toEqual([
    '6000: this connection ends at 1970-01-01T00:00:10.000Z: the token has expired',
    '10000: end within 500: the token has expired',
  ]);
  expect(vi.getTimerCount()).toBe(0);
});

test.each([
  ['in the past', -1],
  ['now', 0],
])('a time %s ends the session before the call returns', (_, at) => {
  const { ends, said } = session();
  ends.add(new Date(at), expired, { noticeMs: 1_000 });
  expect(said).toEqual(['0: end within 0: the token has expired']);
});

test.each([
  ['farther away than a timer counts', 40 * DAY_MS],
  ['a little more than one timer away', 60_001],
])('a time that is %s is met to the millisecond', (_, ms) => {
  const { ends, said } = session();
  ends.add(new Date(ms), expired, {});
  vi.advanceTimersByTime(ms - 1);
  expect(said).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(said).toEqual([`${ms}: end within 0: the token has expired`]);
  expect(vi.getTimerCount()).toBe(0);
});

test('an appointment that is moved gives its notice again; none is left of where it was', () => {
  const { ends, said } = session();
  const end = ends.add(new Date(10_000), expired, { noticeMs: 5_000 });
  vi.advanceTimersByTime(6_000);
  end.move(new Date(20_000));
  vi.advanceTimersByTime(30_000);
  expect(said.map((line) => line.split(':', 1)[0])).toEqual(['5000', '15000', '20000']);
});

test('of several the earliest comes first', () => {
  const { ends, said } = session();
  for (const at of [30_000, 10_000, 90_000]) ends.add(new Date(at), expired, {});
  vi.advanceTimersByTime(10_000);
  expect(said).toHaveLength(1);
});

test('a wall clock that is set forward ends a session when its timer next looks', () => {
  const { ends, said } = session();
  ends.add(new Date(DAY_MS), expired, {});
  vi.setSystemTime(2 * DAY_MS);
  vi.advanceTimersByTime(60_000);
  expect(said).toHaveLength(1);
});

test('after the end of a session no timer is left, and an appointment does nothing', () => {
  const { ends, said } = session();
  const near = ends.add(new Date(1_000), expired, {});
  ends.add(new Date(DAY_MS), expired, {});
  ends.clear();
  expect(vi.getTimerCount()).toBe(0);
  near.move(new Date(0));
  ends.add(new Date(0), expired, {});
  vi.advanceTimersByTime(2 * DAY_MS);
  expect(said).toEqual([]);
});

test('what is no date is refused', () => {
  const { ends } = session();
  expect(() => ends.add(new Date(NaN), expired, {})).toThrow(RangeError);
});

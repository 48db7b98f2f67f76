/** Access windows: when one is open and until when, in every zone, on days that have 23 or 25 hours as well. */
import { expect, test } from 'vitest';
import type { AccessWindow } from '../../core/index.ts';
import { openUntil } from '../../plugins/limits/windows.ts';

const office: AccessWindow = { days: ['mon', 'fri'], from: '08:00', to: '18:00', tz: 'Europe/Berlin' };
const daily = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

function open(windows: AccessWindow | readonly AccessWindow[], at: string): string | undefined {
  const until = openUntil([windows].flat(), Date.parse(at));
  if (until === undefined || until === Infinity) return until?.toString();
  return new Date(until).toISOString();
}

test.each([
  ['before it opens', '2026-11-23T06:59:59Z', undefined],
  ['when it opens', '2026-11-23T07:00:00Z', '2026-11-23T17:00:00.000Z'],
  ['in its last moment', '2026-11-23T16:59:59.999Z', '2026-11-23T17:00:00.000Z'],
  ['when it closes', '2026-11-23T17:00:00Z', undefined],
  ['on a day that is not listed', '2026-11-24T10:00:00Z', undefined],
  ['on the second day that is listed', '2026-11-27T10:00:00Z', '2026-11-27T17:00:00.000Z'],
  ['in summer, an hour earlier by UTC', '2026-07-06T06:00:00Z', '2026-07-06T16:00:00.000Z'],
])('an office week, %s', (_, at, until) => {
  expect(open(office, at)).toBe(until);
});

test('the day is that of the zone, not that of UTC', () => {
  const tokyo = { days: ['mon'], from: '00:00', to: '24:00', tz: 'Asia/Tokyo' };
  expect(open(tokyo, '2026-11-22T15:00:00Z')).toBe('2026-11-23T15:00:00.000Z');
  expect(open(tokyo, '2026-11-23T15:00:00Z')).toBeUndefined();
});

test('a window over midnight belongs to the day on which it begins', () => {
  const night = { days: ['fri'], from: '22:00', to: '06:00', tz: 'UTC' };
  expect(open(night, '2026-11-27T23:00:00Z')).toBe('2026-11-28T06:00:00.000Z');
  expect(open(night, '2026-11-28T05:59:59Z')).toBe('2026-11-28T06:00:00.000Z');
  expect(open(night, '2026-11-27T05:00:00Z')).toBeUndefined();
  expect(open(night, '2026-11-28T22:30:00Z')).toBeUndefined();
});

// Clocks go from 02:00 to 03:00 on 2026-03-29 in Berlin, and from 03:00 back to 02:00 on 2026-10-25.
test.each([
  ['a day of 23 hours ends after 23', '00:00', '24:00', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00.000Z'],
  ['a day of 25 hours ends after 25', '00:00', '24:00', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00.000Z'],
  ['a start that does not exist is an hour later', '02:30', '05:00', '2026-03-29T00:59:00Z', undefined],
  ['and then it is open', '02:30', '05:00', '2026-03-29T01:30:00Z', '2026-03-29T03:00:00.000Z'],
  [
    'an end that comes twice is the first',
    '01:00',
    '02:30',
    '2026-10-25T00:00:00Z',
    '2026-10-25T00:30:00.000Z',
  ],
  ['and the second is outside', '01:00', '02:30', '2026-10-25T01:15:00Z', undefined],
])('%s', (_, from, to, at, until) => {
  expect(open({ days: ['sun'], from, to, tz: 'Europe/Berlin' }, at)).toBe(until);
});

test('windows that touch are one', () => {
  const week = { days: daily, from: '08:00', to: '24:00', tz: 'UTC' };
  const early = { days: ['tue'], from: '00:00', to: '03:00', tz: 'UTC' };
  expect(open([week, early], '2026-11-23T20:00:00Z')).toBe('2026-11-24T03:00:00.000Z');
  expect(open([week, early], '2026-11-24T20:00:00Z')).toBe('2026-11-25T00:00:00.000Z');
});

test('windows that leave no gap have no end, and none at all are never open', () => {
  expect(
    open({ days: daily, from: '00:00', to: '24:00', tz: 'America/New_York' }, '2026-11-23T20:00:00Z'),
  ).toBe('Infinity');
  expect(open([], '2026-11-23T20:00:00Z')).toBeUndefined();
  expect(open({ ...office, from: '10:00', to: '10:00' }, '2026-11-23T09:00:00Z')).toBeUndefined();
});

test('what it says holds at every minute of two years', () => {
  const zones = ['Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe', 'Asia/Kathmandu'];
  for (const tz of zones) {
    const window = { days: ['sat', 'sun'], from: '01:15', to: '03:45', tz };
    const clock = new Intl.DateTimeFormat('en-GB', {
      timeZone: tz,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    const shown = (at: number): string => clock.format(at).replace(/\W+/, ' ').toLowerCase();
    for (
      let at = Date.parse('2026-01-03T00:00Z');
      at < Date.parse('2027-12-31T00:00Z');
      at += 7 * 3_600_000 + 60_000
    ) {
      const until = openUntil([window], at);
      if (until === undefined) continue;
      expect(shown(at)).toMatch(/^s(at|un) 0[123]:/);
      // The end is 03:45, or what a clock shows then that had jumped over it.
      expect(shown(until)).toMatch(/^s(at|un) 0[34]:/);
      expect(until).toBeGreaterThan(at);
    }
  }
});

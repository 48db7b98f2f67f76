/** Access windows: when the wall clock of a time zone is within one, and when that ends. */
import { DateTime, IANAZone } from 'luxon';
import type { AccessWindow } from '../../core/index.ts';

/** The end of the day, which no start can say (ISO 8601-1:2019 allows it as an end). */
const MIDNIGHT = '24:00';
/** So many windows in a row are taken for no end at all: every night of two years. */
const ENDLESS = 750;

/** `HH:MM`, up to `24:00`. */
export function isTime(value: unknown): value is string {
  return typeof value === 'string' && /^(([01]\d|2[0-3]):[0-5]\d|24:00)$/.test(value);
}

/** A name of the IANA time zone database. */
export function isZone(value: unknown): value is string {
  return typeof value === 'string' && IANAZone.isValidZone(value);
}

/** A time that does not exist on that day (DST) is that much later; of one that comes twice, it is the first. */
function at(day: DateTime, time: string): DateTime {
  if (time === MIDNIGHT) return day.plus({ days: 1 });
  const [hour = 0, minute = 0] = time.split(':').map(Number);
  return day.set({ hour, minute });
}

/** The end of the window that is open at `now`, if it is; `days` are those on which it begins. */
function endOf({ days, from, to, tz }: AccessWindow, now: number): number | undefined {
  if (from === to) return undefined;
  const today = DateTime.fromMillis(now, { zone: tz }).startOf('day');
  for (const day of [today, today.minus({ days: 1 })]) {
    const name = day.setLocale('en').toFormat('ccc').toLowerCase();
    if (!days.includes(name)) continue;
    const end = at(to < from ? day.plus({ days: 1 }) : day, to).toMillis();
    if (at(day, from).toMillis() <= now && now < end) return end;
  }
  return undefined;
}

/** When a window is open, and the time there now, for the operator's log. */
export function windowText({ days, from, to, tz }: AccessWindow, now: number): string {
  const there = DateTime.fromMillis(now, { zone: tz }).setLocale('en').toFormat('ccc HH:mm').toLowerCase();
  return `${days.join(' ')} from ${from} to ${to} in ${tz}, where it is ${there}`;
}

/** The latest end among the windows that are open at a time; undefined: none is. */
function furthest(windows: readonly AccessWindow[], now: number): number | undefined {
  const ends = windows.map((window) => endOf(window, now)).filter((end) => end !== undefined);
  return ends.length > 0 ? Math.max(...ends) : undefined;
}

/**
 * Until when at least one of the windows is open without a gap, in milliseconds since the epoch; Infinity if no end is
 * in sight; undefined if none is open at `now`. A window whose `to` is before its `from` ends on the next day.
 */
export function openUntil(windows: readonly AccessWindow[], now: number): number | undefined {
  let until = furthest(windows, now);
  for (let i = 0; until !== undefined && i < ENDLESS; i += 1) {
    const next = furthest(windows, until);
    if (next === undefined) return until;
    until = next;
  }
  return until === undefined ? undefined : Infinity;
}

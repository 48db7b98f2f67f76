/** Durations and rates: texts such as `'10s'` and `'20/s'`, and the numbers they mean. */
import { ConfigError } from './errors.ts';

/** A duration with its unit; `m` is a minute. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'min' | 'h' | 'd'}`;
/** Events per time, for instance `'20/s'`. */
export type Rate = `${number}/${'s' | 'm' | 'min' | 'h' | 'd'}`;

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|min|h|d)$/;
const RATE = /^(\d+(?:\.\d+)?)\/(s|m|min|h|d)$/;

/** So many events in so many milliseconds. */
export interface EventRate {
  /** Above zero; may be a fraction. */
  readonly events: number;
  /** Length of the span in milliseconds. */
  readonly perMs: number;
}

/**
 * Reads a duration such as `'10s'` or `'1.5h'` as milliseconds; `m` and `min` are minutes.
 *
 * @throws ConfigError that quotes the text and shows the form
 * @example const ms = milliseconds('1.5h'); // 5400000
 */
export function milliseconds(text: string): number {
  const match = DURATION.exec(text);
  if (!match) {
    throw new ConfigError(`expected a duration such as '10s' (units: ms, s, m or min, h, d), got '${text}'`);
  }
  return Number(match[1]) * (UNIT_MS.get(match[2] ?? '') ?? Number.NaN);
}

/**
 * Reads a rate such as `'20/s'`; the number is above zero.
 *
 * @throws ConfigError that quotes the text and shows the form
 * @example const { events, perMs } = rate('20/s'); // 20, 1000
 */
export function rate(text: string): EventRate {
  const match = RATE.exec(text);
  const events = Number(match?.[1] ?? 0);
  if (!match || events === 0) {
    throw new ConfigError(`expected a rate such as '20/s' (per s, m or min, h, d), got '${text}'`);
  }
  return { events, perMs: UNIT_MS.get(match[2] ?? '') ?? Number.NaN };
}

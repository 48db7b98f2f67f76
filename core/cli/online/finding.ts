/** What `postern check` finds, one line each. */

import { printable } from '../../options/shown.ts';

/** Longest text, in characters. */
const LONGEST = 2_000;

/** One thing that was looked at. */
export interface Finding {
  /** `'error'`: sessions that need it are refused. */
  readonly level: 'ok' | 'warning' | 'error';
  /** Where the config says it, such as `databases.orders`. */
  readonly path: string;
  readonly text: string;
}

/** A line, for people and for `grep ^error`. */
export function lineOf({ level, path, text }: Finding): string {
  // A server that is not verified says what it likes, and a terminal obeys some of that.
  return `${level.padEnd(8)} ${path}: ${printable(text.replaceAll(/\s+/g, ' '), LONGEST)}\n`;
}

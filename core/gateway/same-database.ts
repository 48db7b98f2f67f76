/** When two entries of `databases` are the same. */
import type { DatabaseOptions } from '../config.ts';

function textOf(database: DatabaseOptions): string {
  return JSON.stringify(database, (_, value: unknown) => (typeof value === 'function' ? 'function' : value));
}

/** Functions count as equal: those of an entry that is made anew, at a login or a reload, are new and mean the same. */
export function sameDatabase(one: DatabaseOptions, other: DatabaseOptions): boolean {
  return textOf(one) === textOf(other);
}

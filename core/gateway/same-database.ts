/** When two entries of `databases` are the same. */
import type { DatabaseOptions } from '../contract/database.ts';

/** What an entry says, as text that is for comparing only: it holds passwords. */
export function databaseText(database: DatabaseOptions): string {
  return JSON.stringify(database, (_, value: unknown) => (typeof value === 'function' ? 'function' : value));
}

/** Functions count as equal: those of an entry that is made anew, at a login or a reload, are new and mean the same. */
export function sameDatabase(one: DatabaseOptions, other: DatabaseOptions): boolean {
  return databaseText(one) === databaseText(other);
}

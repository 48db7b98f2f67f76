/**
 * When objects of a database were last changed by a command that passed the gateway. Kept by server and database: all pools and
 * sessions of the process that lead there share it.
 */
import { hostsOf } from '../database.ts';
import type { DatabaseOptions } from '../database.ts';
import { monotonicTime } from './clock.ts';

/** One database on one server. */
interface Changed {
  /** The time of the last change, by the monotonic clock; 0: none. */
  at: number;
  /** Sessions ask for it. */
  used: boolean;
}

const databases = new Map<string, Changed>();
/** Databases that are told apart; the names of all others may come from clients, and one entry stands for them. */
const MOST_DATABASES = 10_000;
const others: Changed = { at: 0, used: false };

function changedOf(key: string): Changed {
  const known = databases.get(key);
  if (known || databases.size >= MOST_DATABASES) return known ?? others;
  const made = { at: 0, used: false };
  databases.set(key, made);
  return made;
}

/** The changes of one database of an entry, whichever of its servers a session is on. */
export class SchemaChanges {
  readonly #all: readonly Changed[];

  constructor(all: readonly Changed[]) {
    this.#all = all;
  }

  /** A command has changed objects, or a transaction with such a command is over. */
  changed(): void {
    const at = monotonicTime();
    for (const database of this.#all) database.at = at;
  }

  /** The time of the last change, by the monotonic clock; 0: none. */
  get last(): number {
    let last = 0;
    for (const { at } of this.#all) last = Math.max(last, at);
    return last;
  }

  /** Sessions in transaction mode rely on it: without any the others need not look at their commands. */
  get used(): boolean {
    return this.#all.some(({ used }) => used);
  }

  /** A session in transaction mode relies on it from here on. */
  use(): void {
    for (const database of this.#all) database.used = true;
  }
}

const entries = new WeakMap<DatabaseOptions, Map<string, SchemaChanges>>();

/** Those of the database with this name on the servers of an entry. */
export function schemaChangesOf(options: DatabaseOptions, name: string): SchemaChanges {
  const byName = entries.get(options) ?? new Map<string, SchemaChanges>();
  entries.set(options, byName);
  const found =
    byName.get(name) ??
    new SchemaChanges(
      hostsOf(options).map(({ host, port }) => changedOf(JSON.stringify([host, port, name]))),
    );
  if (byName.size < MOST_DATABASES) byName.set(name, found);
  return found;
}

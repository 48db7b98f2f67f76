/** The pool for a database entry, however the config says it: by name, by `'*'`, or by a function. */
import type { DatabaseOptions } from '../database.ts';
import type { Logger } from '../session.ts';
import { Pool } from '../upstream/pool.ts';
import { databaseText } from './same-database.ts';

/** All pools of the gateway. A function that gives equal entries for a name gives one pool. */
export class Pools {
  readonly #log: Logger;
  /** By the key of `databases`, then by what the entry says. */
  readonly #byEntry = new Map<string, Map<string, Pool>>();
  /** What an entry says: those of a config are the same objects at each login. */
  readonly #texts = new WeakMap<DatabaseOptions, string>();
  /** Of entries that are no more: they empty themselves. */
  readonly #retired = new Set<Pool>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Finds or makes the pool. A pool whose entry has changed stays until its last connection is closed. */
  for(entry: string, database: DatabaseOptions): Pool {
    const text = this.#textOf(database);
    const known = this.#byEntry.get(entry)?.get(text);
    if (known) {
      known.keepWarm(true);
      return known;
    }
    this.#forgetUnused();
    return this.#make(entry, database, text);
  }

  /** Every pool in use, for those who watch them. */
  all(): readonly Pool[] {
    return [...this.#each()].map(({ pool }) => pool);
  }

  /**
   * Lets go of the pools whose entry `find` does not know any more, or knows as another one: what is idle is closed, what
   * is lent when it comes back. Resolves when they have been told. Never rejects.
   */
  async retain(find: (entry: string) => Promise<DatabaseOptions | undefined>): Promise<void> {
    for (const { entry, text, pool } of this.#each()) {
      const now = await find(entry).catch(() => undefined);
      if (now && this.#textOf(now) === text) continue;
      // It may have been given up meanwhile, and another one stand in its place.
      if (this.#byEntry.get(entry)?.get(text) !== pool) continue;
      this.#forget(entry, text);
      this.#retired.add(pool);
      void pool.retire().then(() => this.#retired.delete(pool));
    }
  }

  /** Closes every connection of every pool. */
  async close(): Promise<void> {
    await Promise.all([...this.all(), ...this.#retired].map((pool) => pool.close()));
  }

  #textOf(database: DatabaseOptions): string {
    const text = this.#texts.get(database) ?? databaseText(database);
    this.#texts.set(database, text);
    return text;
  }

  *#each(): Generator<{ readonly entry: string; readonly text: string; readonly pool: Pool }> {
    for (const [entry, pools] of this.#byEntry) for (const [text, pool] of pools) yield { entry, text, pool };
  }

  #make(entry: string, database: DatabaseOptions, text: string): Pool {
    const pools = this.#byEntry.get(entry) ?? new Map<string, Pool>();
    // Nobody may come for what they keep: a function gives another entry now.
    for (const former of pools.values()) former.keepWarm(false);
    const pool = new Pool({ entry, database, log: this.#log });
    this.#byEntry.set(entry, pools.set(text, pool));
    return pool;
  }

  #forget(entry: string, text: string): void {
    const pools = this.#byEntry.get(entry);
    pools?.delete(text);
    if (pools?.size === 0) this.#byEntry.delete(entry);
  }

  /** Functions may serve any number of names. */
  #forgetUnused(): void {
    for (const { entry, text, pool } of this.#each()) {
      if (!pool.unused) continue;
      this.#forget(entry, text);
      void pool.close();
    }
  }
}

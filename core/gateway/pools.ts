/** The pool for a database entry, however the config says it: by name, by `'*'`, or by a function. */
import type { DatabaseOptions } from '../config.ts';
import { Pool } from '../upstream/pool.ts';
import { sameDatabase } from './same-database.ts';

interface Kept {
  readonly entry: string;
  readonly database: DatabaseOptions;
  readonly pool: Pool;
}

/** All pools of the gateway. A function that gives equal entries for a name gives one pool. */
export class Pools {
  readonly #byDatabase = new Map<DatabaseOptions, Kept>();

  /** Finds or makes the pool. A pool whose entry has changed stays until its sessions end. */
  for(entry: string, database: DatabaseOptions): Pool {
    const same = this.#byDatabase.get(database) ?? this.#equal(entry, database);
    if (same) return same.pool;
    this.#forgetUnused();
    const pool = new Pool({ entry, database });
    this.#byDatabase.set(database, { entry, database, pool });
    return pool;
  }

  /** Lets go of the pools whose entry `find` does not know any more, or knows as another one. Never rejects. */
  async retain(find: (entry: string) => Promise<DatabaseOptions | undefined>): Promise<void> {
    for (const [database, { entry }] of this.#byDatabase) {
      const now = await find(entry).catch(() => undefined);
      if (!now || !sameDatabase(now, database)) this.#byDatabase.delete(database);
    }
  }

  /** Closes every connection of every pool. */
  async close(): Promise<void> {
    await Promise.all([...this.#byDatabase.values()].map(({ pool }) => pool.close()));
  }

  #equal(entry: string, database: DatabaseOptions): Kept | undefined {
    for (const kept of this.#byDatabase.values()) {
      if (kept.entry === entry && sameDatabase(kept.database, database)) return kept;
    }
    return undefined;
  }

  /** Functions may serve any number of names. */
  #forgetUnused(): void {
    for (const [database, { pool }] of this.#byDatabase) {
      if (pool.size === 0 && pool.waiting === 0) this.#byDatabase.delete(database);
    }
  }
}

/** The pool for a database entry, however the config says it: by name, by `'*'`, or by a function. */
import type { DatabaseOptions } from '../config.ts';
import { Pool } from '../upstream/pool.ts';

interface Kept {
  readonly entry: string;
  readonly database: DatabaseOptions;
  readonly pool: Pool;
}

/** Functions count as equal: those of an entry that is made anew at each login are new as well, and mean the same. */
function textOf(database: DatabaseOptions): string {
  return JSON.stringify(database, (_, value: unknown) => (typeof value === 'function' ? 'function' : value));
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

  /** Closes every connection of every pool. */
  async close(): Promise<void> {
    await Promise.all([...this.#byDatabase.values()].map(({ pool }) => pool.close()));
  }

  #equal(entry: string, database: DatabaseOptions): Kept | undefined {
    const text = textOf(database);
    for (const kept of this.#byDatabase.values()) {
      if (kept.entry === entry && textOf(kept.database) === text) return kept;
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

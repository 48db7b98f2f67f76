/** Prepared statements that the sessions of a pool have in common. */
import type { DatabaseOptions } from '../contract/database.ts';
import { machineClock, monotonicTime } from '../upstream/clock.ts';
import { limitsOf } from '../upstream/pool/limits.ts';
import type { SchemaChanges } from '../upstream/schema-changes.ts';
import type { KnownStatement, KnownStatements } from '../relay/prepared/known-statements.ts';
import type { Pool } from '../upstream/pool/pool.ts';

/** Statements remembered per pool; the oldest goes first. */
const MOST_KNOWN = 10_000;
/** Kinds of sessions per pool of which each has one object; one that is forgotten only costs memory. */
const MOST_KINDS = 1_000;

/** Those of one pool, and the part of them for each kind of session. */
class PoolStatements {
  readonly #within: number;
  readonly #known = new Map<string, KnownStatement>();
  readonly #kinds = new Map<string, KnownStatements>();

  /** A statement satisfies Parses for at most `within` milliseconds. */
  constructor(within: number) {
    this.#within = within;
  }

  forKind(kind: string, changes: SchemaChanges): KnownStatements {
    const found = this.#kinds.get(kind) ?? this.#made(kind, changes);
    keepNewest(this.#kinds.set(kind, found), MOST_KINDS);
    return found;
  }

  #made(kind: string, changes: SchemaChanges): KnownStatements {
    const [known, within] = [this.#known, this.#within];
    const oldest = (): number => Math.max(changes.last, machineClock.now() - within);
    changes.use();
    return {
      now: monotonicTime,
      oldest,
      get(parsed) {
        const found = known.get(`${kind}${parsed}`);
        return found && found.at >= oldest() ? found : undefined;
      },
      set: (parsed, statement) => keepNewest(known.set(`${kind}${parsed}`, statement), MOST_KNOWN),
      delete: (parsed) => void known.delete(`${kind}${parsed}`),
    };
  }
}

function keepNewest(all: Map<string, unknown>, most: number): void {
  const [oldest] = all.keys();
  if (all.size > most && oldest !== undefined) all.delete(oldest);
}

const pools = new WeakMap<Pool, PoolStatements>();

/** The statements that connections of a pool have prepared for sessions with the same role, database and settings. */
export function knownTo(
  { pool, database }: { readonly pool: Pool; readonly database: DatabaseOptions },
  changes: SchemaChanges,
  kind: string,
): KnownStatements {
  const all = pools.get(pool) ?? new PoolStatements(limitsOf(database.pool).reparseMs);
  pools.set(pool, all);
  return all.forKind(kind, changes);
}

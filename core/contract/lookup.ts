/** A question that a plugin asks a database, beside all sessions. */
import type { RoleName } from './names.ts';

/** Who is asked what. */
export interface Lookup {
  /** A key of `databases`. */
  readonly database: string;
  /** Logs in by the entry's own `login`, and is verified as the role of a session: a privileged one is refused. */
  readonly role: RoleName;
  /** One statement, the same each time: what comes from outside is a parameter. */
  readonly sql: string;
  /** Its parameters, as texts; null is SQL NULL. */
  readonly values: readonly (string | null)[];
}

/** A row of the answer: its columns in text form; null is SQL NULL. */
export type LookupRow = readonly (string | null)[];

/** When two prepared statements are the same: equal text, equal parameter types, read under the same settings. */
import { createHash } from 'node:crypto';

/** A prepared statement as a session remembers it. */
export interface Statement {
  /** Equal for statements that mean the same: text, parameter types, and the settings that literals depend on. */
  readonly key: string;
  readonly sql: string;
  /** The types as they are at the end of a Parse. */
  readonly types: Buffer;
  /** The server refused it, or discarded it. */
  failed: boolean;
}

/** What a literal in a statement may depend on when it is prepared: `'01/02/2020'::date` is another day under DMY. */
const SETTINGS = ['DateStyle', 'TimeZone', 'IntervalStyle', 'standard_conforming_strings', 'client_encoding'];

/** A key for the statement `sql`; `types` is the tail of its Parse. */
export function statementKey(sql: string, types: Buffer, parameters: ReadonlyMap<string, string>): string {
  const settings = SETTINGS.map((name) => parameters.get(name) ?? '').join('\0');
  return createHash('sha256').update(types).update(`${settings}\0`).update(sql).digest('base64');
}

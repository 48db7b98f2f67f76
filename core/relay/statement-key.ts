/** When two prepared statements are the same: equal text, equal parameter types, read under the same settings. */
import { createHash } from 'node:crypto';

/** What a literal in a statement may depend on when it is prepared: `'01/02/2020'::date` is another day under DMY. */
const SETTINGS = ['DateStyle', 'TimeZone', 'IntervalStyle', 'standard_conforming_strings', 'client_encoding'];

/** A key for the statement `sql`; `types` is the tail of its Parse. */
export function statementKey(sql: string, types: Buffer, parameters: ReadonlyMap<string, string>): string {
  const settings = SETTINGS.map((name) => parameters.get(name) ?? '').join('\0');
  return createHash('sha256').update(types).update(`${settings}\0`).update(sql).digest('base64');
}

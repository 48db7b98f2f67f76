/** Effects of a statement on its connection that its text shows and the tag of its command does not. */
import { withoutLiterals } from '../sql-text.ts';

/** Temporary objects, however they are made (`CREATE TABLE AS` and `SELECT INTO` have the tag of a SELECT). */
const TEMPORARY = /\b(?:create|into)\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b/i;
/** Locks of the session, not those of a transaction. */
const ADVISORY = /\bpg_(?:try_)?advisory_lock/i;
/** One command that ends with its transaction, although its tag is that of any other SET. */
const LOCAL = /^\s*set\s+(?:local|transaction|constraints)\s[^;]*(?:;\s*)?$/i;

/**
 * The function leaves a setting, and the tag of its statement is that of a SELECT (manual, 9.28.1); so does an UPDATE of the view
 * (54.25); and a name that is written in such a way may be any (4.1.2.3).
 */
const SET_CONFIG = /\b(?:set_config|pg_settings)\b|u&"/gi;
const CALL = /\bset_config\b"?\s*\(/gi;
/** Parts of all patterns here besides LOCAL: most texts have none of them. */
const TELLING = /temp|advisory_lock|set_config|pg_settings|search_path|schema|u&"/i;
/** More calls than these are not read one by one. */
const MOST_CALLS = 20;
/** Ways to choose schemas by a text (manual, 5.10.3; SET SCHEMA is a form of SET). */
const SEARCH_PATH = /search_path|\bset\s+(?:(?:local|session)\s+)?schema\b|u&"/i;

/** Why a statement with this text keeps its connection with the session; undefined if it does not seem to. */
export function pinningWord(text: string): string | undefined {
  if (TEMPORARY.test(text)) return 'temporary objects';
  return ADVISORY.test(text) ? 'advisory lock' : undefined;
}

/** True for a single `SET LOCAL` or the like: its effect ends with its transaction. */
export const leavesNothing = (text: string): boolean => LOCAL.test(text);

/** False for a text to which every other check here but {@link leavesNothing} does not apply. */
export const isTelling = (text: string): boolean => TELLING.test(text);

/** True for a text that may leave a setting on its connection although no tag says so. */
export function leavesSettings(text: string): boolean {
  const calls = callsIn(text);
  if (!calls) return true;
  return calls.some(([, , local = '', ...more]) => local.toLowerCase() !== 'true' || more.length > 0);
}

/** True for a text that may change the schemas in which names are looked up. */
export function mayChooseSchemas(text: string): boolean {
  if (SEARCH_PATH.test(text)) return true;
  const calls = callsIn(text);
  return !calls || calls.some(([name]) => name !== '?');
}

/** The arguments of each call of `set_config`, literals as `?`. Undefined where it is named and not seen to be called. */
function callsIn(text: string): readonly (readonly string[])[] | undefined {
  const named = text.match(SET_CONFIG)?.length ?? 0;
  if (named === 0) return [];
  if (named > MOST_CALLS) return undefined;
  const sql = withoutLiterals(text);
  const calls = [...sql.matchAll(CALL)].map(({ index, 0: call }) => argumentsAt(sql, index + call.length));
  return calls.length === named ? calls : undefined;
}

/** The arguments of a call, up to its closing parenthesis; `from` is behind the opening one. */
function argumentsAt(sql: string, from: number): readonly string[] {
  const found: string[] = [];
  let begin = from;
  for (let at = from, depth = 0; at < sql.length; at += 1) {
    const character = sql[at] ?? '';
    if (character === '"') at = Math.max(at, sql.indexOf('"', at + 1));
    else if ('(['.includes(character)) depth += 1;
    else if (depth > 0) depth -= ')]'.includes(character) ? 1 : 0;
    else if (character === ',' || character === ')') {
      found.push(sql.slice(begin, at).trim());
      begin = at + 1;
      if (character === ')') break;
    }
  }
  return found;
}

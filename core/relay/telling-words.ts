/** What the text of a statement tells about its connection, where the tag of its command will not. */

/** Temporary objects, however they are made (`CREATE TABLE AS` and `SELECT INTO` have the tag of a SELECT). */
const TEMPORARY = /\b(?:create|into)\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b/i;
/** Locks of the session, not those of a transaction. */
const ADVISORY = /\bpg_(?:try_)?advisory_lock/i;
/** One command that ends with its transaction, although its tag is that of any other SET. */
const LOCAL = /^\s*set\s+(?:local|transaction|constraints)\s[^;]*(?:;\s*)?$/i;

/** A call leaves a setting, and its tag is that of a SELECT (manual, 9.28.1); so does an UPDATE of the view (manual, 54.25). */
const SET_CONFIG = /\bset_config\b|\bpg_settings\b/i;
const LOCAL_CALL = String.raw`(?:pg_catalog\.)?set_config\(\s*(?:'[^'\\]*'|\$\d+)\s*,\s*(?:'[^'\\]*'|\$\d+)(?:::text)?\s*,\s*true\s*\)`;
/** Calls whose settings end with their transaction, and nothing else. */
const LOCAL_CALLS = new RegExp(
  String.raw`^\s*select\s+${LOCAL_CALL}(?:\s*,\s*${LOCAL_CALL})*\s*(?:;\s*)?$`,
  'i',
);
/** Each way to choose schemas by a text (manual, 5.10.3; SET SCHEMA is a form of SET). */
const SEARCH_PATH = /search_path|set_config|\bset\s+(?:(?:local|session)\s+)?schema\b/i;

/** Why a statement with this text keeps its connection with the session; undefined if it does not seem to. */
export function pinningWord(text: string): string | undefined {
  if (TEMPORARY.test(text)) return 'temporary objects';
  return ADVISORY.test(text) ? 'advisory lock' : undefined;
}

/** True for a `SET LOCAL` and its like, alone: nothing of it is left when its transaction is over. */
export const leavesNothing = (text: string): boolean => LOCAL.test(text);

/** True for a text that may leave a setting on its connection although no tag says so. */
export const leavesSettings = (text: string): boolean => SET_CONFIG.test(text) && !LOCAL_CALLS.test(text);

/** True for a text that may change the schemas in which names are looked up. */
export const mayChooseSchemas = (text: string): boolean => SEARCH_PATH.test(text);

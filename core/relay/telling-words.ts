/** What the text of a statement tells about its connection, where the tag of its command will not. */

/** Temporary objects, however they are made (`CREATE TABLE AS` and `SELECT INTO` have the tag of a SELECT). */
const TEMPORARY = /\b(?:create|into)\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b/i;
/** Locks of the session, not those of a transaction. */
const ADVISORY = /\bpg_(?:try_)?advisory_lock/i;
/** One command that ends with its transaction, although its tag is that of any other SET. */
const LOCAL = /^\s*set\s+(?:local|transaction|constraints)\s[^;]*(?:;\s*)?$/i;

/** Why a statement with this text keeps its connection with the session; undefined if it does not seem to. */
export function pinningWord(text: string): string | undefined {
  if (TEMPORARY.test(text)) return 'temporary objects';
  return ADVISORY.test(text) ? 'advisory lock' : undefined;
}

/** True for a `SET LOCAL` and its like, alone: nothing of it is left when its transaction is over. */
export const leavesNothing = (text: string): boolean => LOCAL.test(text);

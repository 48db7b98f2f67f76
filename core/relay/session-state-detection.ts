/** Detects by the text of a statement state that it leaves on its server connection, where the tag of its command is silent: see `command-tags.ts`. */
import { takesFromSequence } from '../left-state.ts';
import type { LeftState } from '../left-state.ts';
import { withoutLiterals } from '../sql-text.ts';
import { Frontend, HEADER_BYTES } from '../wire/frames.ts';

const CREATES = /\bcreate\b/i;
/** Temporary objects, however they are made (`CREATE TABLE AS` and `SELECT INTO` have the tag of a SELECT). */
const TEMPORARY = /\b(?:create|into)\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b/i;
/** The same words with a comment anywhere: it may stand between them (4.1.5). */
const COMMENT = /\/\*|--/;
const TEMPORARY_WORD = /\btemp(?:orary)?\b|pg_temp/i;
const MAKING_WORD = /\b(?:create|into)\b/i;
/** An object in their schema, which has a second name with a number in it (manual, "search_path"). */
const IN_TEMPORARY_SCHEMA = /pg_temp(?:_\d{1,10})?"?\s*\./i;
const TEMPORARY_SCHEMA = /pg_temp/i;
const INSERT = /^\s*insert\b/i;
/** Locks of the session, not those of a transaction. */
const ADVISORY = /\bpg_(?:try_)?advisory_lock/i;
/**
 * The function leaves a setting, and the tag of its statement is that of a SELECT (manual, 9.28.1); so does an UPDATE of the view
 * (54.25); and a name that is written in such a way may be any (4.1.2.3).
 */
const SET_CONFIG = /\b(?:set_config|pg_settings)\b|u&"/gi;
const CALL = /\bset_config\b"?\s*\(/gi;
/** Parts of all patterns here: most texts have none of them. */
const STATE_WORDS =
  /temp|advisory_lock|set_config|pg_settings|search_path|schema|create\b|u&"|transform_null|array_nulls|xmloption|xml\s+option|lc_monetary|timezone_abb|backslash_quote/i;
/** More calls than these are not read one by one. */
const MOST_CALLS = 20;
/** Ways to choose schemas by a text (manual, 5.10.3; SET SCHEMA is a form of SET). */
const SEARCH_PATH = /search_path|\bset\s+(?:(?:local|session)\s+)?schema\b|u&"/i;
/** Words of every way to change the role in force (manual, SET ROLE and SET SESSION AUTHORIZATION). */
const ROLE = /\brole\b|authorization|u&"/i;
const ESCAPES = /\\|u&/i;

/** True for a text that may make an object, whatever its tag: CREATE TABLE AS has that of a SELECT. */
export const mayCreate = (text: string): boolean => CREATES.test(text);

/** Why a statement with this text keeps its connection with the session; undefined if it does not seem to. */
export function pinReason(text: string): string | undefined {
  if (TEMPORARY.test(text) || isCommented(text) || makesInTemporarySchema(text)) return TEMPORARY_OBJECTS;
  return ADVISORY.test(text) ? 'advisory lock' : undefined;
}

const makesInTemporarySchema = (text: string): boolean =>
  IN_TEMPORARY_SCHEMA.test(text) && MAKING_WORD.test(text);

/** Why a session with temporary objects keeps its connection. */
export const TEMPORARY_OBJECTS = 'temporary objects';

/** True for schemas, or a text, among which is that for temporary objects. */
export const hasTemporarySchema = (text: string): boolean => TEMPORARY_SCHEMA.test(text);

/** True for a text that may make a table with the tag of a SELECT: a temporary one where its first schema is that for them. */
export const mayMakeTable = (text: string): boolean => MAKING_WORD.test(text) && !INSERT.test(text);

const READING_WORD =
  /transform_null_equals|array_nulls|xmloption|xml\s+option|lc_monetary|timezone_abbreviations|backslash_quote/i;

/** True for a text that may change a setting of `READING`. */
export const mayChangeReading = (text: string): boolean => READING_WORD.test(text);

const isCommented = (text: string): boolean =>
  COMMENT.test(text) && TEMPORARY_WORD.test(text) && MAKING_WORD.test(text);

/** True for a text with a word of the commands that change the role in force. */
export const mayChangeRole = (text: string): boolean => ROLE.test(text) || ESCAPES.test(text);

/** False for a text to which no other check here applies. */
export const mayLeaveState = (text: string): boolean => STATE_WORDS.test(text);

/** True for a text that may change the schemas in which names are looked up. */
export function mayChooseSchemas(text: string): boolean {
  if (SEARCH_PATH.test(text)) return true;
  const calls = callsIn(text);
  // A name that is written with escapes is seen as any other literal.
  return !calls || (calls.length > 0 && ESCAPES.test(text)) || calls.some(([name]) => name !== '?');
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

// By the functions that a statement runs.

/** The functions of a database at one time. */
export interface Functions {
  /** The state that a statement with this text may leave, besides that which is seen by its tag and its words. */
  leaves(text: string): LeftState;
}

/** The functions of the session's database as the gateway knows them. */
export interface KnownFunctions {
  /** What is known now: the same object as long as that does not change. */
  readonly catalog: Functions;
}

/** What a statement may leave that is executed more than once: its text is read again only when functions have changed. */
export class StatementCalls {
  readonly text: string;
  #catalog: Functions | undefined;
  #leaves: LeftState = 'state';

  constructor(text: string) {
    this.text = text;
  }

  leaves({ catalog }: KnownFunctions): LeftState {
    if (catalog !== this.#catalog) {
      this.#catalog = catalog;
      this.#leaves = catalog.leaves(this.text);
    }
    return this.#leaves;
  }
}

// Decides whether a session in session mode may have left state on its server connection. A reset is skipped only for what is known to leave nothing: short texts in the simple protocol, with commands whose tags say so.

/** A session that sends more statements is not watched any further, and costs nothing more: its connection is reset. */
export const WATCHED_STATEMENTS = 20;
/** Longer texts are not read. */
const LONGEST_TEXT = 1_024;

/**
 * Whether a message may leave state that no tag shows. A Parse leaves a statement, the unnamed one included; a FunctionCall may
 * call any function. `frame` is the whole message or its beginning. Without `functions`, those of the database are trusted.
 */
export function messageLeavesState(type: number, frame: Buffer, functions?: Functions): boolean {
  if (type !== Frontend.query || frame.length > LONGEST_TEXT) return true;
  const text = frame.toString('latin1', HEADER_BYTES);
  if (mayLeaveState(text) || takesFromSequence(text) || MAKING_WORD.test(text)) return true;
  return functions !== undefined && functions.leaves(text) !== 'nothing';
}

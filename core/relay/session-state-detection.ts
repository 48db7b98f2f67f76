/** Detects by the text of a statement state that it leaves on its server connection, where the tag of its command is silent: see `command-tags.ts`. */
import { takesFromSequence } from '../sql/left-state.ts';
import type { LeftState } from '../sql/left-state.ts';
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
/** Parts of all patterns here: most texts have none of them. */
const STATE_WORDS = /temp|advisory_lock|set_config|pg_settings|create\b|u&"/i;

/** Any object but a temporary one. */
const LASTING = /\bcreate\b(?!\s{1,20}(?:(?:global|local)\s{1,20})?temp)/i;

/** True for a text that may make an object that is not temporary. */
export const mayMakeLasting = (text: string): boolean => LASTING.test(text);

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

const isCommented = (text: string): boolean =>
  COMMENT.test(text) && TEMPORARY_WORD.test(text) && MAKING_WORD.test(text);

/** The same, and the words of all commands that set something or drop prepared statements, wherever they stand. */
const COMMAND_WORDS = new RegExp(
  String.raw`${STATE_WORDS.source}|\b(?:set|reset|discard|deallocate|do|call)\b`,
  'i',
);

/**
 * True for a text to which no check here applies but {@link mayMakeTable} and {@link messageLeavesState}, nor one of those for settings and for
 * prepared statements: most are such ones.
 */
export const hasNoCommandWord = (text: string): boolean => !COMMAND_WORDS.test(text);

/** False for a text to which no check here applies but {@link mayMakeTable} and {@link messageLeavesState}. */
export const mayLeaveState = (text: string): boolean => STATE_WORDS.test(text);

// By the functions that a statement runs.

/** The functions of a database at one time. */
export interface Functions {
  /** The state that a statement with this text may leave, besides that which is seen by its tag and its words. */
  leaves(text: string): LeftState;
  /** Whether it may change, until its transaction ends, what later texts mean. Absent: no function does. */
  changesContext?(text: string): boolean;
}

/** The functions of the session's database as the gateway knows them. */
export interface KnownFunctions {
  /** The functions as they are known now: the same object as long as that does not change. */
  readonly catalog: Functions;
}

/** The state that a prepared statement may leave: its text is read again only when functions have changed. */
export class StatementCalls {
  readonly text: string;
  #catalog: Functions | undefined;
  #leaves: LeftState = 'state';
  #changesContext = false;

  constructor(text: string) {
    this.text = text;
  }

  leaves(catalog: Functions): LeftState {
    this.#read(catalog);
    return this.#leaves;
  }

  changesContext(catalog: Functions): boolean {
    this.#read(catalog);
    return this.#changesContext;
  }

  #read(catalog: Functions): void {
    if (catalog === this.#catalog) return;
    this.#catalog = catalog;
    this.#leaves = catalog.leaves(this.text);
    this.#changesContext = catalog.changesContext?.(this.text) === true;
  }
}

// Decides whether a session in session mode may have left state on its server connection. A reset is skipped only after statements that are known to leave nothing: short texts in the simple protocol, with commands whose tags say so.

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

/**
 * Detects state that a statement leaves on its server connection: by the tag of its command, and by its text where the
 * tag is silent.
 */
import { withoutLiterals } from '../sql-text.ts';
import { readCommandComplete } from '../wire/backend.ts';
import type { Functions } from './known-functions.ts';
import { Frontend, HEADER_BYTES } from '../wire/frames.ts';
import { ShortTexts } from '../wire/short-texts.ts';

/** Commands that leave no state of the session behind, by the first word of their tag. */
const NOTHING = new Set(
  'SELECT INSERT UPDATE DELETE MERGE COPY FETCH MOVE BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE EXPLAIN SHOW LOCK CLOSE DEALLOCATE NOTIFY TRUNCATE'.split(
    ' ',
  ),
);
/** Commands whose effect lives on the connection and is waited for there. */
const PINS: ReadonlySet<string> = new Set(['LISTEN', 'PREPARE', 'DECLARE CURSOR', 'CREATE TABLE', 'LOAD']);
/** Commands that take off what policies have set. */
const RESETS: ReadonlySet<string> = new Set(['RESET', 'DISCARD ALL', 'DISCARD SEQUENCES']);

/** Tags of commands whose text says which settings they change: see `setting-names.ts`. */
export const setsByText = (tag: string): boolean => tag === 'SET' || tag === 'RESET';

/** Whether a command may have changed settings that its text does not show. */
export const mayBeUnknown = (tag: string): boolean => tag === 'DO' || tag === 'CALL';

/** Whether a command may leave state of the session. */
export function leavesState(tag: string): boolean {
  const end = tag.indexOf(' ');
  return !NOTHING.has(end < 0 ? tag : tag.slice(0, end)) && tag !== 'SET CONSTRAINTS';
}

/** Whether what a command leaves ties its session to the server connection. */
export const pins = (tag: string): boolean => PINS.has(tag);

/** Whether a command may have taken off what policies have set. */
export const takesOffSettings = (tag: string): boolean => RESETS.has(tag);

/** Commands after which a text may mean something else, by the first word of their tag: a DO or CALL may run any of them. */
const CHANGES: ReadonlySet<string> = new Set(['CREATE', 'ALTER', 'DROP', 'IMPORT', 'DO', 'CALL']);
const CREATES = /\bcreate\b/i;

/** Whether a command may have changed objects of its database, by its tag. */
export function changesObjects(tag: string): boolean {
  const end = tag.indexOf(' ');
  return CHANGES.has(end < 0 ? tag : tag.slice(0, end)) || tag === 'COMMIT PREPARED';
}

/** True for a text that may make an object, whatever its tag: CREATE TABLE AS has that of a SELECT. */
export const mayCreate = (text: string): boolean => CREATES.test(text);

/** Whether a command has dropped every prepared statement. */
export const dropsStatements = (tag: string): boolean => tag === 'DEALLOCATE ALL' || tag === 'DISCARD ALL';

/** Tags of which no question here is answered with yes, as they begin or are: those of nearly all commands. */
const QUIET = ['SELECT ', 'INSERT ', 'UPDATE ', 'DELETE ', 'BEGIN\0', 'COMMIT\0', 'ROLLBACK\0'].map((tag) =>
  Buffer.from(tag),
);

/** True for a tag, which begins at `at`, that need not be read. */
export function isQuiet(bytes: Buffer, at: number): boolean {
  return QUIET.some((tag) => {
    for (let i = 0; i < tag.length; i += 1) if (bytes[at + i] !== tag[i]) return false;
    return true;
  });
}

/** A tag as observers are told of it. */
export interface ReadTag {
  readonly text: string;
  /** A list that has only this one: the same for all statements that end so. */
  readonly alone: readonly string[];
  /** The number at its end counts rows: `INSERT 0 5`, `COPY 5` (manual, 55.7 CommandComplete). 0 if there is none. */
  readonly rows: number;
}

/** Most statements end with one of a few tags. */
const known = new ShortTexts<ReadTag>((body) => {
  const tag = readCommandComplete(body);
  return { text: tag, alone: Object.freeze([tag]), rows: Number(/ (\d+)$/.exec(tag)?.[1] ?? 0) };
});

/** Reads a CommandComplete, and the number of rows in its tag. @throws GatewayError `protocol_violation` */
export const readTag = (body: Buffer): ReadTag => known.of(body, 0, body.length);

/** Temporary objects, however they are made (`CREATE TABLE AS` and `SELECT INTO` have the tag of a SELECT). */
const TEMPORARY = /\b(?:create|into)\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b/i;
/** The same words with a comment anywhere: it may stand between them (4.1.5). */
const COMMENT = /\/\*|--/;
const TEMPORARY_WORD = /\btemp(?:orary)?\b/i;
const MAKING_WORD = /\b(?:create|into)\b/i;
/** Locks of the session, not those of a transaction. */
const ADVISORY = /\bpg_(?:try_)?advisory_lock/i;
/**
 * The function leaves a setting, and the tag of its statement is that of a SELECT (manual, 9.28.1); so does an UPDATE of the view
 * (54.25); and a name that is written in such a way may be any (4.1.2.3).
 */
const SET_CONFIG = /\b(?:set_config|pg_settings)\b|u&"/gi;
const CALL = /\bset_config\b"?\s*\(/gi;
/** Parts of all patterns here: most texts have none of them. */
const STATE_WORDS = /temp|advisory_lock|set_config|pg_settings|search_path|schema|create\b|u&"/i;
/** More calls than these are not read one by one. */
const MOST_CALLS = 20;
/** Ways to choose schemas by a text (manual, 5.10.3; SET SCHEMA is a form of SET). */
const SEARCH_PATH = /search_path|\bset\s+(?:(?:local|session)\s+)?schema\b|u&"/i;

/** Why a statement with this text keeps its connection with the session; undefined if it does not seem to. */
export function pinReason(text: string): string | undefined {
  if (TEMPORARY.test(text) || isCommented(text)) return 'temporary objects';
  return ADVISORY.test(text) ? 'advisory lock' : undefined;
}

const isCommented = (text: string): boolean =>
  COMMENT.test(text) && TEMPORARY_WORD.test(text) && MAKING_WORD.test(text);

/** False for a text to which no other check here applies. */
export const mayLeaveState = (text: string): boolean => STATE_WORDS.test(text);

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

// Decides whether a session in session mode may have left state on its server connection. A reset is skipped only for what is known to leave nothing: short texts in the simple protocol, with commands whose tags say so.

/** A session that sends more statements is not watched any further, and costs nothing more: its connection is reset. */
export const WATCHED_STATEMENTS = 20;
/** Longer texts are not read. */
const LONGEST_TEXT = 1_024;

/** Commands that leave nothing. */
const LEAVES_NOTHING = new Set(
  'SELECT UPDATE DELETE BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE SHOW LOCK'.split(' '),
);
/** Words of texts that may take a value of a sequence, which `lastval` shows afterwards; a WITH has the tag of its SELECT. */
const SEQUENCE = /nextval|setval|insert|merge|copy|default/i;

/**
 * Whether a message may leave state that no tag shows. A Parse leaves a statement, the unnamed one included; a FunctionCall may
 * call any function. `frame` is the whole message or its beginning. Without `functions`, those of the database are trusted.
 */
export function messageLeavesState(type: number, frame: Buffer, functions?: Functions): boolean {
  if (type !== Frontend.query || frame.length > LONGEST_TEXT) return true;
  const text = frame.toString('latin1', HEADER_BYTES);
  if (mayLeaveState(text) || SEQUENCE.test(text)) return true;
  return functions !== undefined && functions.leaves(text) !== 'nothing';
}

/** Whether a completed command may have left state, by its tag. */
export function commandLeavesState(tag: string): boolean {
  const end = tag.indexOf(' ');
  return !LEAVES_NOTHING.has(end < 0 ? tag : tag.slice(0, end));
}

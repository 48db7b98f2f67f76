/** Reads from the source of a function in SQL or PL/pgSQL which state of the session it may leave by itself. */
import { callsStateFunction, larger, mayFireTriggers, takesFromSequence } from '../sql/left-state.ts';
import type { LeftState } from '../sql/left-state.ts';
import { withoutLiterals } from '../sql/sql-text.ts';

/** A function's source as far as it matters. */
export interface FunctionBody {
  /** State that its own statements may leave; that of functions which it calls is not in it. */
  readonly leaves: LeftState;
  /** Its own statements may change, until their transaction ends, what later texts mean: where names are looked up, or how literals are read. */
  readonly changesContext: boolean;
  /** It may leave a setting by itself. */
  readonly sets: boolean;
  /** It may fire triggers. */
  readonly writes: boolean;
  /** The names and keywords in it, in lower case: whatever it calls is among them. */
  readonly words: ReadonlySet<string>;
}

/**
 * Commands that leave state, or make objects that do; EXECUTE runs any text. `pg_temp` is found by `temp`.
 * Words as names of columns are taken for these too: that costs resets, not isolation.
 */
const COMMAND =
  /\b(?:execute|reset|listen|load|prepare|discard|create|alter|import|hold|pg_settings|pg_(?:try_)?advisory_lock\w*)\b|temp/i;
/** Those of them that may leave a setting. */
const SETTING_COMMAND = /\b(?:execute|reset|discard|pg_settings)\b/i;
/** A DO command, not that of ON CONFLICT. */
const DO = /\bdo\b(?!\s+(?:nothing|update)\b)/i;
/** Where UPDATE stands in front of SET there are a table and its alias in between, and no other statement begins. */
const SET = /\bset\b/gi;
const LOCAL = /^\s+(?:local|constraints|transaction)\b/i;
const UPDATE = /\bupdate\b/gi;
const NEXT_STATEMENT = /;|\b(?:begin|then|else|loop)\b/i;
const SET_CONFIG = /\bset_config\b/gi;
/** A value for the transaction alone (manual, 9.28.1). */
const LOCAL_SET_CONFIG = /\bset_config\s*\([^()]*,\s*true\s*\)/gi;
const SET_LOCAL = /\bset\s+local\b/gi;
/** Settings that say nothing about the meaning of texts: the others are `search_path`, the role in force and `READING` of the defaults. */
const HARMLESS_LOCAL =
  /\bset\s+local\s+(?!search_path\b|role\b|session_authorization\b|transform_null_equals\b|array_nulls\b|xmloption\b|lc_monetary\b|timezone_abbreviations\b|backslash_quote\b)[a-z_][\w.]*\s*(?:=|\bto\b)/gi;
const HARMLESS_CALL =
  /\bset_config\s*\(\s*'(?!search_path'|role'|session_authorization'|transform_null_equals'|array_nulls'|xmloption'|lc_monetary'|timezone_abbreviations'|backslash_quote')[\w.]+'(?:::text)?\s*,/gi;
/** A backslash in front of a quote, and a text that looks like a JWT: literals may end elsewhere, or more may be left out than literals. */
const UNCERTAIN = /\\'|eyJ/;
const WORD = /[\w$]+/g;
/** More of a statement in front of its SET is not read. */
const LONGEST_TARGET = 300;

/** Reads a source that the server has accepted, or its form by the server's functions `pg_get_…`. */
export function readBody(source: string): FunctionBody {
  const code = withoutLiterals(source);
  const words = new Set(code.toLowerCase().match(WORD) ?? []);
  const uncertain = UNCERTAIN.test(source) || callsStateFunction(source);
  const sets = uncertain || SETTING_COMMAND.test(code) || DO.test(code) || setsSession(code);
  const leaves = sets || COMMAND.test(code) ? 'state' : 'nothing';
  return {
    leaves: larger(leaves, takesFromSequence(code) ? 'sequences' : 'nothing'),
    changesContext: setsContext(source, code),
    sets,
    writes: mayFireTriggers(code),
    words,
  };
}

/** True unless each SET belongs to an UPDATE or ends with the transaction, and so does each call of `set_config`. */
function setsSession(code: string): boolean {
  const calls = code.match(SET_CONFIG)?.length ?? 0;
  if (calls !== (code.match(LOCAL_SET_CONFIG)?.length ?? 0)) return true;
  return [...code.matchAll(SET)].some(({ index }) => !isTransactionLocal(code, index));
}

/** True unless each setting for the transaction has a name that is known to be harmless; names in calls are read where the source has its literals. */
function setsContext(source: string, code: string): boolean {
  const locals = code.match(SET_LOCAL)?.length ?? 0;
  if (locals !== (code.match(HARMLESS_LOCAL)?.length ?? 0)) return true;
  const calls = source.match(SET_CONFIG)?.length ?? 0;
  return calls !== (source.match(HARMLESS_CALL)?.length ?? 0);
}

function isTransactionLocal(code: string, at: number): boolean {
  if (LOCAL.test(code.slice(at + 3, at + 3 + LONGEST_TARGET))) return true;
  const before = code.slice(Math.max(0, at - LONGEST_TARGET), at);
  const update = [...before.matchAll(UPDATE)].at(-1);
  return update !== undefined && !NEXT_STATEMENT.test(before.slice(update.index + update[0].length));
}

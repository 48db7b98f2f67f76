/** Reads from the source of a function in SQL or PL/pgSQL which state of the session it may leave by itself. */
import { callsStateFunction, larger, mayFireTriggers, takesFromSequence } from '../left-state.ts';
import type { LeftState } from '../left-state.ts';
import { withoutLiterals } from '../sql-text.ts';

/** A function's source as far as it matters. */
export interface FunctionBody {
  /** State that its own statements may leave; that of functions which it calls is not in it. */
  readonly leaves: LeftState;
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
/** A backslash in front of a quote, and a text that looks like a JWT: literals may end elsewhere, or more may be left out than literals. */
const UNCERTAIN = /\\'|eyJ/;
const WORD = /[\w$]+/g;
/** More of a statement in front of its SET is not read. */
const LONGEST_TARGET = 300;

/** Reads a source that the server has accepted, or what its functions `pg_get_…` show of one. */
export function readBody(source: string): FunctionBody {
  const code = withoutLiterals(source);
  const words = new Set(code.toLowerCase().match(WORD) ?? []);
  const uncertain = UNCERTAIN.test(source) || callsStateFunction(source);
  const leaves = uncertain || runsCommand(code) || setsSession(code) ? 'state' : 'nothing';
  return {
    leaves: larger(leaves, takesFromSequence(code) ? 'sequences' : 'nothing'),
    writes: mayFireTriggers(code),
    words,
  };
}

const runsCommand = (code: string): boolean => COMMAND.test(code) || DO.test(code);

/** True unless each SET belongs to an UPDATE or ends with the transaction, and so does each call of `set_config`. */
function setsSession(code: string): boolean {
  const calls = code.match(SET_CONFIG)?.length ?? 0;
  if (calls !== (code.match(LOCAL_SET_CONFIG)?.length ?? 0)) return true;
  return [...code.matchAll(SET)].some(({ index }) => !isTransactionLocal(code, index));
}

function isTransactionLocal(code: string, at: number): boolean {
  if (LOCAL.test(code.slice(at + 3, at + 3 + LONGEST_TARGET))) return true;
  const before = code.slice(Math.max(0, at - LONGEST_TARGET), at);
  const update = [...before.matchAll(UPDATE)].at(-1);
  return update !== undefined && !NEXT_STATEMENT.test(before.slice(update.index + update[0].length));
}

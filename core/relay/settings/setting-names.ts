/** Which settings of the session the commands in a text may set or reset: their names, never their values. */
import { READING } from '../../upstream/connection.ts';
import { tokensOf } from '../../sql/sql-tokens.ts';
import type { SqlToken } from '../../sql/sql-tokens.ts';

/** The settings that a text may change for its session. */
export interface NamedSettings {
  /** In lower case: they may have any value afterwards. */
  readonly set: readonly string[];
  /** Some of them by a call of `set_config`, which has no tag of its own. */
  readonly calls: boolean;
  /** Those of them that a call sets to a value which may be NULL: it returns them to the value of the login. */
  readonly maybeReset: readonly string[];
  /** They return to the value of the login. */
  readonly reset: readonly string[];
  /** All of them return to that. */
  readonly resetsAll: boolean;
  /** Those that say what a text means, set until the transaction ends. */
  readonly local: readonly string[];
  /** Until the transaction ends any of these may have another value: code runs that is not read, or a name is computed. */
  readonly opaque: boolean;
  /** The number of commands with the tag SET or RESET. */
  readonly commands: number;
  /** It may change others. */
  readonly unknown: boolean;
}

/** A text that may change any setting. */
export const ANY_SETTING: NamedSettings = {
  set: [],
  calls: false,
  maybeReset: [],
  reset: [],
  resetsAll: false,
  local: [],
  opaque: true,
  commands: 0,
  unknown: true,
};
/** A text of which it is only known that it runs code. */
const RUNS_CODE: NamedSettings = { ...ANY_SETTING, unknown: false };

const COMMAND = /^\s*(?:set|reset|discard|do|call)\b/i;
const COMMAND_WORD = /\b(?:set|reset|discard)\b/i;
/** A DO command, not that of ON CONFLICT. */
const CODE = /\b(?:do(?!\s+(?:nothing|update)\b)|call)\b/i;
/** A comment in front of such a command. */
const FIRST_COMMENT = /^\s*(?:--|\/\*)/;
const SECOND_STATEMENT = /;\s*\S/;
/**
 * The function leaves a setting, and the tag of its statement is that of a SELECT (manual, 9.28.1); so does an UPDATE of the view
 * (54.25); and a name that is written in such a way may be any (4.1.2.3).
 */
const FUNCTION = /\bset_config\b|\bpg_settings\b|u&"/i;
const CALL = /\bset_config\b/gi;
const VIEW = /\bpg_settings\b/i;
const ESCAPED = /u&"/i;
const UPDATE = /\bupdate\b/i;
/** More are not read one by one. */
const MOST_CALLS = 20;
/** A cheap bound for texts that are read at all. */
const LONGEST = 262_144;
/** A name that can be asked for in every encoding. */
const PLAIN_NAME = /^[!-~]{1,200}$/;

/** Ended by the server with each transaction. */
const OF_TRANSACTION = new Set(['transaction_isolation', 'transaction_read_only', 'transaction_deferrable']);
const CHARACTERISTICS = [
  'default_transaction_isolation',
  'default_transaction_read_only',
  'default_transaction_deferrable',
];
const AUTHORIZATION = ['session_authorization', 'role'];
/** They say what a text means, and not every server reports them. */
const MEANING = new Set(['search_path', ...AUTHORIZATION, ...READING]);

/** The settings that a text may change; undefined if it changes none. */
export function settingsIn(text: string): NamedSettings | undefined {
  const calls = FUNCTION.test(text);
  if (!calls && !hasCommand(text)) return undefined;
  const tokens = text.length > LONGEST ? undefined : tokensOf(text);
  if (!tokens) return calls || COMMAND_WORD.test(text) ? ANY_SETTING : RUNS_CODE;
  const found = new Found();
  for (const statement of statementsOf(tokens)) found.statement(statement);
  if (calls) found.callsIn(text, tokens);
  return found.any ? found : undefined;
}

function hasCommand(text: string): boolean {
  if (COMMAND.test(text)) return true;
  if (!SECOND_STATEMENT.test(text) && !FIRST_COMMENT.test(text)) return false;
  return COMMAND_WORD.test(text) || CODE.test(text);
}

function statementsOf(tokens: readonly SqlToken[]): readonly (readonly SqlToken[])[] {
  const statements: SqlToken[][] = [[]];
  for (const token of tokens) {
    if (token.kind === 'sign' && token.value === ';') statements.push([]);
    else statements.at(-1)?.push(token);
  }
  return statements;
}

class Found implements NamedSettings {
  readonly set: string[] = [];
  calls = false;
  readonly maybeReset: string[] = [];
  readonly reset: string[] = [];
  readonly local: string[] = [];
  resetsAll = false;
  opaque = false;
  commands = 0;
  unknown = false;

  get any(): boolean {
    if (this.unknown || this.resetsAll || this.opaque) return true;
    return this.commands + this.set.length + this.reset.length + this.local.length > 0;
  }

  /** Reads a SET, RESET, DISCARD, DO or CALL. */
  statement(tokens: readonly SqlToken[]): void {
    const words = tokens.map(({ kind, value }) => (kind === 'word' ? value : ''));
    const [first, second] = words;
    if (first === 'set') this.#set(tokens.slice(1), words.slice(1));
    else if (first === 'reset') this.#reset(tokens.slice(1), words.slice(1));
    else if (first === 'discard' && second === 'all') this.#all(AUTHORIZATION);
    else if (first === 'do' || first === 'call') this.opaque = true;
  }

  #set(all: readonly SqlToken[], allWords: readonly string[]): void {
    const [first, second] = allWords;
    const isPart = all[1]?.kind === 'sign';
    if (!isPart && first === 'constraints') return;
    this.commands += 1;
    if (!isPart && first === 'transaction') return;
    if (!isPart && first === 'local') return this.#setLocal(all.slice(1), allWords.slice(1));
    if (first === 'session' && second === 'characteristics') return this.#names('set', CHARACTERISTICS);
    if (first === 'session' && second === 'authorization') return this.#names('set', AUTHORIZATION);
    const from = first === 'session' && !isPart ? 1 : 0;
    const [tokens, words] = [all.slice(from), allWords.slice(from)];
    const special = specialName(tokens, words);
    const { name, end } = special ?? nameAt(tokens);
    if (!special && !isAssigned(tokens[end])) return this.#any();
    this.#names(isDefault(name, words.slice(special ? end : end + 1)) ? 'reset' : 'set', [name]);
  }

  #setLocal(tokens: readonly SqlToken[], words: readonly string[]): void {
    const [first, second] = words;
    if (first === 'transaction') return;
    if (first === 'session' && second === 'authorization') return this.#names('local', AUTHORIZATION);
    const special = specialName(tokens, words);
    const { name, end } = special ?? nameAt(tokens);
    if (special || isAssigned(tokens[end])) this.#names('local', [name]);
    else this.opaque = true;
  }

  #reset(tokens: readonly SqlToken[], words: readonly string[]): void {
    this.commands += 1;
    const [first, second] = words;
    if (first === 'all' && tokens.length === 1) return this.#all([]);
    if (first === 'transaction') return;
    if (first === 'session' && second === 'authorization') return this.#names('set', AUTHORIZATION);
    const { name, end } = specialName(tokens, words) ?? nameAt(tokens);
    if (end !== tokens.length) return this.#any();
    this.#names('reset', [name]);
  }

  /** Reads the calls of `set_config`; each is one in the text, or the settings of the text are not known. */
  callsIn(text: string, tokens: readonly SqlToken[]): void {
    const named = text.match(CALL)?.length ?? 0;
    if (ESCAPED.test(text) || named > MOST_CALLS || (VIEW.test(text) && UPDATE.test(text)))
      return this.#any();
    const at = tokens.flatMap((_, index) => (isCall(tokens, index) ? [index + 2] : []));
    if (at.length !== named) return this.#any();
    for (const from of at) {
      const [name = [], value = [], local = []] = argumentsAt(tokens, from);
      const literal = name.length === 1 && name[0]?.kind === 'text' ? name[0].value.toLowerCase() : undefined;
      const called = literal ?? namesInView(tokens) ?? '';
      if (isWord(local, 'true')) {
        this.#names('local', [called]);
        continue;
      }
      this.calls = true;
      this.#names(isWord(value, 'null') ? 'reset' : 'set', [called]);
      const isText = value.length === 1 && value[0]?.kind === 'text';
      if (!isText && this.set.at(-1) === called) this.maybeReset.push(called);
    }
  }

  #names(how: 'set' | 'reset' | 'local', names: readonly string[]): void {
    for (const name of names) {
      if (how === 'local') this.#name(name);
      else if (!PLAIN_NAME.test(name) || name === 'seed') this.#any();
      else if (!OF_TRANSACTION.has(name)) this[how].push(name);
    }
  }

  /** A setting until the transaction ends. */
  #name(name: string): void {
    if (!PLAIN_NAME.test(name)) this.opaque = true;
    else if (MEANING.has(name)) this.local.push(name);
  }

  #all(also: readonly string[]): void {
    this.resetsAll = true;
    this.reset.push(...also);
  }

  #any(): void {
    this.unknown = this.opaque = true;
  }
}

const isWord = (tokens: readonly SqlToken[], word: string): boolean =>
  tokens.length === 1 && tokens[0]?.kind === 'word' && tokens[0].value === word;

/** The words of a value; texts and numbers are empty ones. */
function isDefault(name: string, [first, ...more]: readonly string[]): boolean {
  if (first === undefined) return name === 'client_encoding';
  return more.length === 0 && (first === 'default' || (first === 'local' && name === 'timezone'));
}

/** Forms without `=` and TO (manual, SET): the name, and where its value begins. */
function specialName(tokens: readonly SqlToken[], [first, second]: readonly string[]): Name | undefined {
  if (first === 'time' && second === 'zone') return { name: 'timezone', end: 2 };
  if (first === 'xml' && second === 'option') return { name: 'xmloption', end: 2 };
  if (isAssigned(tokens[1]) || tokens[1]?.value === '.') return undefined;
  if (first === 'names') return { name: 'client_encoding', end: 1 };
  if (first === 'schema') return { name: 'search_path', end: 1 };
  return first === 'role' ? { name: 'role', end: 1 } : undefined;
}

interface Name {
  readonly name: string;
  /** Behind it. */
  readonly end: number;
}

/** A name with dots: its parts may stand in quotes. */
function nameAt(tokens: readonly SqlToken[]): Name {
  let name = '';
  let end = 0;
  for (; end < tokens.length; end += 1) {
    const token = tokens[end];
    const expectsDot = end % 2 === 1;
    const isDot = token?.kind === 'sign' && token.value === '.';
    if (!token || expectsDot !== isDot || (!isDot && token.kind !== 'word' && token.kind !== 'name')) break;
    name += isDot ? '.' : token.value.toLowerCase();
  }
  return { name, end };
}

/** `FROM CURRENT` is the third form. */
const isAssigned = (token: SqlToken | undefined): boolean =>
  (token?.kind === 'sign' && token.value === '=') ||
  (token?.kind === 'word' && (token.value === 'to' || token.value === 'from'));

function isCall(tokens: readonly SqlToken[], index: number): boolean {
  const [token, next] = [tokens[index], tokens[index + 1]];
  const named = (token?.kind === 'word' || token?.kind === 'name') && token.value === 'set_config';
  return named && next?.kind === 'sign' && next.value === '(';
}

/** Of a longer call only the beginning is read: it may set a setting, whatever its last argument is. */
const LONGEST_CALL = 500;

/** The arguments of a call, up to its closing parenthesis; `from` is behind the opening one. */
function argumentsAt(tokens: readonly SqlToken[], from: number): readonly (readonly SqlToken[])[] {
  const found: SqlToken[][] = [[]];
  let depth = 0;
  for (const token of tokens.slice(from, from + LONGEST_CALL)) {
    const sign = token.kind === 'sign' ? token.value : '';
    if (depth === 0 && sign === ')') break;
    if (depth === 0 && sign === ',') found.push([]);
    else found.at(-1)?.push(token);
    if (sign === '(' || sign === '[') depth += 1;
    else if (sign === ')' || sign === ']') depth -= 1;
  }
  return found;
}

/** The form of pg_dump: `SELECT set_config(name, …) FROM pg_settings WHERE name = '…'`, and nothing else in the text. */
function namesInView(tokens: readonly SqlToken[]): string | undefined {
  if (tokens.length > LONGEST_CALL) return undefined;
  const open = tokens.findIndex((_, index) => isCall(tokens, index));
  const first = tokens.slice(open + 2, open + 4).map(({ value }) => value);
  const end = tokens.at(-1)?.value === ';' ? tokens.slice(0, -1) : tokens;
  const tail = end.slice(-6);
  const is =
    tail
      .map(({ value }) => value)
      .slice(0, 5)
      .join(' ') === 'from pg_settings where name =';
  const last = tail[5];
  const one = tokens.filter(({ value }) => value === 'from' || value === 'set_config').length === 2;
  if (!is || !one || first.join('') !== 'name,' || last?.kind !== 'text') return undefined;
  return last.value.toLowerCase();
}

/** What an operator may say in the console, and what is answered: PgBouncer's commands (its manual, "Admin console"). */
import { GatewayError } from '../../errors.ts';
import type { Operations, Operator } from '../operations.ts';
import type { Overview } from '../overview.ts';
import { SHOWS, fakeParameter } from './shows.ts';
import type { Columns, Table } from './table.ts';

/** What commands work on, and for whom. */
export interface Desk {
  readonly overview: Overview;
  readonly operations: Operations;
  readonly operator: Operator;
  /** Aborted when the client gives a command up, or leaves. */
  readonly signal: AbortSignal;
}

/** What is sent when a command is done. */
export interface Answer {
  /** CommandComplete's. */
  readonly tag: string;
  readonly table?: Table;
  readonly notice?: string;
}

/** A command that was understood. */
export interface Command {
  /** Of its result; undefined: it has none. */
  readonly columns?: Columns;
  run(desk: Desk): Promise<Answer>;
}

type Verb = (desk: Desk, name: string | undefined) => Promise<void> | void;

/** @throws GatewayError `syntax_error` */
function required(name: string | undefined, what: string): string {
  if (name !== undefined) return name;
  throw new GatewayError('syntax_error', `${what} is required`);
}

const VERBS: Readonly<Record<string, Verb>> = {
  PAUSE: ({ operations, operator, signal }, name) => operations.pause(operator, name, signal),
  RESUME: ({ operations, operator }, name) => operations.resume(operator, name),
  RECONNECT: ({ operations, operator }, name) => operations.reconnect(operator, name),
  KILL: ({ operations, operator }, name) => operations.kill(operator, required(name, 'a database')),
  KILL_CLIENT: ({ operations, operator }, id) => operations.endSession(operator, required(id, 'a client')),
  RELOAD: ({ operations, operator }) => operations.reload(operator),
};

const HELP = `Console usage
  SHOW ${Object.keys(SHOWS).join('|')}|HELP
  PAUSE|RESUME|RECONNECT [database]
  KILL database
  KILL_CLIENT id
  RELOAD`;

const WORD = String.raw`"(?:[^"]|"")*"|[^\s;"']+`;
const COMMAND = new RegExp(String.raw`^\s*(${WORD})(?:\s+(${WORD}))?\s*;?\s*$`);
const SET = /^\s*set\s+(?:session\s+)?(\w+)\s*(?:=|\s+to\s)\s*[^;]+;?\s*$/i;

const unquoted = (word: string): string =>
  word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word;

/** The longest text of a command that an error repeats, in characters. */
const LONGEST_SHOWN = 100;

function unknown(text: string): GatewayError {
  const shown = text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
  return new GatewayError('syntax_error', `invalid command '${shown}', use SHOW HELP;`);
}

/**
 * Reads a command; undefined for a text without one.
 * @throws GatewayError `syntax_error` for what the console does not know, whatever a database would make of it
 */
export function parseCommand(text: string): Command | undefined {
  if (/^[\s;]*$/.test(text)) return undefined;
  const [, parameter] = SET.exec(text) ?? [];
  // Drivers set such things right after they have connected; nothing here depends on them.
  if (parameter !== undefined && fakeParameter(parameter)) {
    return { run: () => Promise.resolve({ tag: 'SET', notice: 'SET ignored' }) };
  }
  const [, first, second] = COMMAND.exec(text) ?? [];
  if (first === undefined || first.startsWith('"')) throw unknown(text);
  const word = first.toUpperCase();
  if (word === 'SHOW' && second !== undefined) return show(second, text);
  const verb = Object.hasOwn(VERBS, word) ? VERBS[word] : undefined;
  if (!verb || (word === 'RELOAD' && second !== undefined)) throw unknown(text);
  const name = second === undefined ? undefined : unquoted(second);
  return { run: async (desk) => (await verb(desk, name), { tag: word }) };
}

function show(what: string, text: string): Command {
  const name = what.toUpperCase();
  if (name === 'HELP') return { run: () => Promise.resolve({ tag: 'SHOW', notice: HELP }) };
  const shown = Object.hasOwn(SHOWS, name) ? SHOWS[name] : fakeParameter(what);
  if (!shown) throw unknown(text);
  return {
    columns: shown.columns,
    run: async ({ overview }) => ({ tag: 'SHOW', table: await shown.rows(overview) }),
  };
}

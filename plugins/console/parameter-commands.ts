/** SET, RESET, DISCARD and SHOW of run-time parameters: what drivers say when they have connected (manual, SQL commands). */
import { GatewayError } from '../../core/index.ts';
import type { Answer, Command, Desk } from './command.ts';
import { parameterName } from './parameters.ts';
import type { Column } from './table.ts';
import { keywordOf } from './words.ts';
import type { Word, Words } from './words.ts';

const done = (tag: string): Command => ({ run: () => ({ tag }) });

/** Parameters that have words of their own. */
const SPELLED: readonly (readonly [words: readonly string[], name: string])[] = [
  [['TRANSACTION', 'ISOLATION', 'LEVEL'], 'transaction_isolation'],
  [['SESSION', 'AUTHORIZATION'], 'session_authorization'],
  [['TIME', 'ZONE'], 'TimeZone'],
];

/** The parameter that is named next; undefined where there is no name. */
function named(words: Words): string | undefined {
  const spelled = SPELLED.find(([keywords]) => words.takesAll(...keywords));
  return spelled ? spelled[1] : words.name();
}

/** Behind `SHOW`: a parameter that the console has; undefined for anything else. */
export function showParameter(words: Words): Command | undefined {
  const name = parameterName(named(words) ?? '');
  if (name === undefined || !words.over) return undefined;
  const columns: readonly Column[] = [[name, 'text']];
  return {
    columns,
    run: ({ parameters }) => ({ tag: 'SHOW', table: { columns, rows: [[parameters.get(name)]] } }),
  };
}

/** `DEFAULT` is undefined. */
function valueOf(values: readonly Word[]): string | undefined {
  if (values.length === 1 && keywordOf(values[0]) === 'DEFAULT') return undefined;
  return values
    .filter(({ kind, text }) => kind !== 'sign' || text !== ',')
    .map(({ text }) => text)
    .join(', ');
}

/** One or several values with commas between them. */
function isList(values: readonly Word[]): boolean {
  const wellPlaced = values.every(
    ({ kind, text }, endpoint) =>
      (kind === 'sign') === (endpoint % 2 === 1) && (kind !== 'sign' || text === ','),
  );
  return wellPlaced && values.length % 2 === 1;
}

function set(name: string, values: readonly Word[], local: boolean): Command | undefined {
  if (!isList(values)) return undefined;
  const value = valueOf(values);
  return {
    run: ({ parameters }) => {
      if (!local) return { tag: 'SET', reports: parameters.set(name, value) };
      // It would be over with the transaction, and nothing depends on it.
      parameters.get(name);
      return { tag: 'SET' };
    },
  };
}

/** `SET`; undefined where the rest is none that is known. */
export function setCommand(words: Words): Command | undefined {
  if (words.takes('TRANSACTION') || words.takesAll('SESSION', 'CHARACTERISTICS', 'AS', 'TRANSACTION')) {
    return words.rest().length > 0 ? done('SET') : undefined;
  }
  const local = words.takes('LOCAL');
  if (!local) words.takes('SESSION');
  if (words.takesAll('TIME', 'ZONE')) return set('TimeZone', words.rest(), local);
  if (words.takes('NAMES')) return set('client_encoding', words.rest(), local);
  const name = words.name();
  if (name === undefined || !(words.takes('=') || words.takes('TO'))) return undefined;
  return set(name, words.rest(), local);
}

/** `RESET`. */
export function resetCommand(words: Words): Command | undefined {
  if (words.takes('ALL')) return words.over ? { run: (desk) => reset(desk, 'RESET') } : undefined;
  const name = named(words);
  if (name === undefined || !words.over) return undefined;
  return { run: ({ parameters }) => ({ tag: 'RESET', reports: parameters.set(name, undefined) }) };
}

function reset({ parameters }: Desk, tag: string): Answer {
  return { tag, reports: parameters.reset() };
}

const DISCARDED = new Set(['PLANS', 'SEQUENCES', 'TEMP', 'TEMPORARY']);

/** `DISCARD`. */
export function discardCommand(words: Words): Command | undefined {
  const what = keywordOf(words.take());
  if (what === undefined || !words.over) return undefined;
  if (DISCARDED.has(what)) return done(`DISCARD ${what}`);
  if (what !== 'ALL') return undefined;
  return {
    run: (desk) => {
      if (desk.transaction.status !== 'I') {
        throw new GatewayError('active_sql_transaction', 'DISCARD ALL cannot run inside a transaction block');
      }
      desk.statements.deallocate(undefined);
      return reset(desk, 'DISCARD ALL');
    },
  };
}

/** `SELECT` without a table: constants, and the functions that drivers and health checks ask when they have connected. */
import type { Command, Desk } from './command.ts';
import { serverVersion } from './parameters.ts';
import type { Column } from './table.ts';
import type { TypeName, Value } from './types.ts';
import { keywordOf } from './words.ts';
import type { Word, Words } from './words.ts';

/** A column, and what stands in it. */
interface Item {
  readonly column: Column;
  value(desk: Desk): Value;
}

interface Function {
  readonly type: TypeName;
  /** How many arguments it takes: the fewest and the most. */
  readonly takes: readonly [fewest: number, most: number];
  value(desk: Desk, ...given: readonly string[]): Value;
}

const none = (type: TypeName, value: Function['value']): Function => ({ type, takes: [0, 0], value });

/** By their names in PostgreSQL. */
const FUNCTIONS: Readonly<Record<string, Function>> = {
  current_database: none('text', ({ database }) => database),
  current_schema: none('text', () => null),
  pg_advisory_unlock_all: none('void', () => ''),
  pg_backend_pid: none('int4', ({ processId }) => processId),
  pg_is_in_recovery: none('bool', () => 'f'),
  version: none(
    'text',
    ({ overview }) => `PostgreSQL ${serverVersion(overview.version)}, the console of a gateway`,
  ),
  current_setting: {
    type: 'text',
    takes: [1, 2],
    value: ({ parameters }, name = '') => parameters.get(name),
  },
  set_config: {
    type: 'text',
    takes: [3, 3],
    value({ parameters }, name = '', value = '') {
      parameters.set(name, value);
      return parameters.get(name);
    },
  },
};

const user = ({ parameters }: Desk): Value => parameters.get('session_authorization');

/** What is written without parentheses (manual, 9.27). */
const KEYWORDS: Readonly<Record<string, Item>> = {
  CURRENT_USER: { column: ['current_user', 'text'], value: user },
  SESSION_USER: { column: ['session_user', 'text'], value: user },
  USER: { column: ['user', 'text'], value: user },
  NULL: { column: ['?column?', 'text'], value: () => null },
  TRUE: { column: ['bool', 'bool'], value: () => 't' },
  FALSE: { column: ['bool', 'bool'], value: () => 'f' },
};

const own = <T>(from: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(from, key) ? from[key] : undefined;

/** Literals between parentheses. */
function given(words: Words): readonly string[] | undefined {
  const values: string[] = [];
  if (words.takes(')')) return values;
  do {
    const word = words.take();
    if (word?.kind !== 'text' && word?.kind !== 'word') return undefined;
    values.push(word.text);
  } while (words.takes(','));
  return words.takes(')') ? values : undefined;
}

function call(name: string, words: Words): Item | undefined {
  const plain = name.toLowerCase().replace(/^pg_catalog\./, '');
  const found = own(FUNCTIONS, plain);
  const values = given(words);
  if (!found || !values || values.length < found.takes[0] || values.length > found.takes[1]) return undefined;
  return { column: [plain, found.type], value: (desk) => found.value(desk, ...values) };
}

/** The longest run of digits that is an int4 whatever it is. */
const INTEGER = /^\d{1,9}$/;

function expression(words: Words): Item | undefined {
  const word = words.take();
  if (word?.kind === 'text') return { column: ['?column?', 'text'], value: () => word.text };
  if (word?.kind !== 'word') return undefined;
  if (words.takes('(')) return call(word.text, words);
  if (INTEGER.test(word.text)) return { column: ['?column?', 'int4'], value: () => Number(word.text) };
  return own(KEYWORDS, word.text.toUpperCase());
}

function item(words: Words): Item | undefined {
  const found = expression(words);
  if (!found) return undefined;
  const named = words.takes('AS') || (keywordOf(words.next) !== 'FROM' && words.next !== undefined);
  const name = named && keywordOf(words.next) !== ',' ? words.name() : undefined;
  return name === undefined ? found : { ...found, column: [name, found.column[1]] };
}

function items(words: Words): readonly Item[] | undefined {
  const found: Item[] = [];
  do {
    const next = item(words);
    if (!next) return undefined;
    found.push(next);
  } while (words.takes(','));
  return words.over ? found : undefined;
}

/** Behind `SELECT`; undefined for what is not known. */
export function selectCommand(words: Words): Command | undefined {
  const found = items(words);
  if (!found) return undefined;
  const columns = found.map(({ column }) => column);
  return {
    columns,
    run: (desk) => ({
      tag: 'SELECT 1',
      table: { columns, rows: [found.map((one) => one.value(desk))] },
    }),
  };
}

/** `a.b` is named `b`. */
const lastPart = (name: string): string => name.slice(name.lastIndexOf('.') + 1);

/** What columns are called that stand in front of `FROM`, each by its last word; undefined without one, or without a `FROM`. */
function columnNames(words: Words): readonly string[] | undefined {
  const names: string[] = [];
  let last: string | undefined;
  for (let depth = 0; !words.over;) {
    const word = words.take();
    const keyword = keywordOf(word);
    if (keyword === '(') depth += 1;
    else if (keyword === ')') depth -= 1;
    else if (depth === 0 && (keyword === ',' || keyword === 'FROM')) {
      if (last === undefined) return undefined;
      names.push(last);
      if (keyword === 'FROM') return names;
      last = undefined;
    } else if (depth === 0 && word) last = lastPart(word.text);
  }
  return undefined;
}

const CATALOG = new Set(['PG_TYPE', 'PG_CATALOG.PG_TYPE']);
const PARAMETER = /^\$([1-9]\d{0,4})(?!\d)/;

/** How many parameters there are. */
function parametersIn(words: readonly Word[]): number {
  return words.reduce((most, { kind, text }) => {
    const [, number = 0] = (kind === 'word' && PARAMETER.exec(text)) || [];
    return Math.max(most, Number(number));
  }, 0);
}

/**
 * Behind `SELECT`: columns of `pg_type`, which drivers read when they have connected, to learn of types beyond PostgreSQL's own.
 * There are none: no row. Undefined for anything else.
 */
export function typesCommand(words: Words): Command | undefined {
  const names = columnNames(words);
  if (!names || !CATALOG.has(keywordOf(words.take()) ?? '')) return undefined;
  const columns = names.map((name): Column => [name, 'text']);
  return {
    columns,
    parameters: parametersIn(words.rest()),
    run: () => ({ tag: 'SELECT 0', table: { columns, rows: [] } }),
  };
}

/** Looks for state of others on the connection that a session has just got, and says whose it is. */
import { HIDDEN, HIDDEN_LOCKS, hiddenByOthers } from './hidden-state.ts';
import { OWN } from './own-settings.ts';
import type { Person } from './people.ts';
import { wordOf } from './people.ts';

/** What a probe is compared with. */
export interface Expected {
  readonly person: Person;
  readonly tag: string;
  /** The number of the session. */
  readonly session: number;
  /** Whether anybody tells SQL who it is. */
  readonly told: boolean;
  /** The session itself has overwritten its claims on this connection. */
  readonly forged: boolean;
}

/** One thing that is not as it should be. */
export interface Finding {
  readonly kind: 'answers' | 'state' | 'claims' | 'rows';
  readonly text: string;
}

/** What state is named by: `left_17` or `left-17` was left by person 17, and so was any setting of 6000017. */
const NAMED = /left[-_](\d+)/g;
const NUMBERED = /60000(\d\d)/g;
/** The number by which the advisory locks of persons can be known. */
export const LOCK_CLASS = 77;

/** Columns of the quick probe: cheap, for every check-out. */
const QUICK = {
  session_user: 'session_user',
  current_user: 'current_user',
  claims: `current_setting('request.jwt.claims', true)`,
  role: `current_setting('role')`,
  mark: `current_setting('leaks.mark', true)`,
  work_mem: `current_setting('work_mem')`,
  search_path: `current_setting('search_path')`,
  statement_timeout: `current_setting('statement_timeout')`,
  lock_timeout: `current_setting('lock_timeout')`,
  read_only: `current_setting('default_transaction_read_only')`,
  isolation: `current_setting('default_transaction_isolation')`,
  deferrable: `current_setting('default_transaction_deferrable')`,
  strings: `current_setting('standard_conforming_strings')`,
  encoding: `current_setting('client_encoding')`,
  application: `current_setting('application_name')`,
  ...OWN,
  ...HIDDEN,
  temp: `pg_catalog.obj_description(pg_catalog.to_regclass('pg_temp.mine'), 'pg_class')`,
} as const;

/** Further columns of the full probe. */
const FULL = {
  channels: 'array(select pg_catalog.pg_listening_channels())::text',
  locks: `array(select 'left_' || objid::int8 from pg_catalog.pg_lock_status() where locktype = 'advisory'
    and classid::int8 = ${LOCK_CLASS} and pid = pg_catalog.pg_backend_pid())::text`,
  hidden_locks: `array(select 'hidden_' || objid::int8 from pg_catalog.pg_lock_status() where locktype = 'advisory'
    and classid::int8 = ${HIDDEN_LOCKS} and pid = pg_catalog.pg_backend_pid())::text`,
  cursors: 'array(select name from pg_catalog.pg_cursor() where is_holdable)::text',
  prepared: 'array(select name from pg_catalog.pg_prepared_statement() where from_sql)::text',
  relations: `array(select relname from pg_catalog.pg_class where relnamespace = pg_catalog.pg_my_temp_schema()
    and relkind = 'r')::text`,
  last: 'leaks.last()',
  words: `(select string_agg(word, ',') from leaks.canary)`,
} as const;

const sqlOf = (columns: Readonly<Record<string, string>>): string =>
  `select $1 as tag, ${Object.values(columns).join(', ')}`;

/** A probe as a statement whose one parameter is a tag. */
export interface Probe {
  readonly sql: string;
  readonly names: readonly string[];
}

const all = { ...QUICK, ...FULL };
/** Settings, roles, claims, and the one temporary table that everybody leaves. */
export const quick: Probe = { sql: sqlOf(QUICK), names: ['tag', ...Object.keys(QUICK)] };
/** All of that, and locks, channels, cursors, statements, relations, sequences, and the canary rows. */
export const full: Probe = { sql: sqlOf(all), names: ['tag', ...Object.keys(all)] };

/** The probe with a tag in it, as text. */
export const withTag = ({ sql }: Probe, tag: string): string => sql.replace('$1', `'${tag}'`);

/** The row of a probe, by column. */
export const rowOf = ({ names }: Probe, values: readonly (string | null)[]): Row =>
  Object.fromEntries(names.map((name, i) => [name, values[i]]));

type Row = Readonly<Record<string, string | null | undefined>>;

/** What only wreckers change. */
const DEFAULTS: Row = {
  read_only: 'off',
  isolation: 'read committed',
  deferrable: 'off',
  strings: 'on',
  encoding: 'UTF8',
};
/** What everybody changes, to what bears a number; the first three are pinned by a plugin. */
const CHANGED: Row = {
  work_mem: '4MB',
  search_path: '"leaks"',
  statement_timeout: '5min',
  lock_timeout: '0',
};

/** Everything wrong with the row of a probe. */
export function judge(
  probe: Probe,
  values: readonly (string | null)[],
  expected: Expected,
): readonly Finding[] {
  const row = rowOf(probe, values);
  if (row['tag'] !== expected.tag || values.length !== probe.names.length) {
    return [{ kind: 'answers', text: `the answer is ${row['tag']}, not ${expected.tag}` }];
  }
  const hidden = hiddenByOthers(row, expected.session).map((text) => ({ kind: 'state' as const, text }));
  return [...identity(row, expected), ...foreign(row, expected), ...hidden, ...nameless(row, expected)];
}

function identity(row: Row, { person, forged, told }: Expected): readonly Finding[] {
  const claims = JSON.stringify({ sub: person.subject });
  const found: Finding[] = [];
  const check = (kind: Finding['kind'], name: string, wanted: string): void => {
    if ((row[name] ?? '') !== wanted) found.push({ kind, text: `${name} is ${row[name]}, not ${wanted}` });
  };
  check('claims', 'session_user', person.role);
  // Wreckers change it, and another session of the same person may meet that.
  if (!person.wrecker) check('claims', 'current_user', person.role);
  if (!person.wrecker) check('claims', 'role', 'none');
  // What the person itself has left may still be there.
  const own = !told && row['claims']?.includes(`left-${person.number}"`) === true;
  if (!forged && !own) check('claims', 'claims', told ? claims : '');
  if ('words' in row && !forged && !person.wrecker) check('rows', 'words', told ? wordOf(person) : '');
  return found;
}

/** State that bears the number of somebody else. */
function foreign(row: Row, { person }: Expected): readonly Finding[] {
  return Object.entries(row).flatMap(([name, value]) => {
    if (value === null || value === undefined || name === 'tag') return [];
    const owners = [...value.matchAll(NAMED), ...value.matchAll(NUMBERED)].map(([, number]) =>
      Number(number),
    );
    const other = owners.find((number) => number !== person.number);
    return other === undefined
      ? []
      : [{ kind: 'state' as const, text: `${name} is person ${other}'s: ${value}` }];
  });
}

function nameless(row: Row, expected: Expected): readonly Finding[] {
  if (expected.person.wrecker) return [];
  const state = (name: string): Finding => ({ kind: 'state', text: `${name} is ${row[name]}` });
  const odd = Object.entries(DEFAULTS).filter(([name, value]) => row[name] !== value);
  const changed = Object.entries(CHANGED).filter(
    ([name, value]) => row[name] !== value && !/left_\d|60000\d\d/.test(row[name] ?? ''),
  );
  const last = row['last'] ?? undefined;
  return [...odd, ...changed].map(([name]) => state(name)).concat(last === undefined ? [] : [state('last')]);
}

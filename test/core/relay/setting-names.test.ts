/** Which settings a text may change, by its words alone. */
import { describe, expect, test } from 'vitest';
import { settingsIn } from '../../../core/relay/settings/setting-names.ts';

const CHARACTERISTICS = [
  'default_transaction_isolation',
  'default_transaction_read_only',
  'default_transaction_deferrable',
];

describe('a text sets', () => {
  test.each<[string, readonly string[]]>([
    ['set a = 1', ['a']],
    ['SET SESSION "My.Guc" TO \'x;y\'', ['my.guc']],
    ['set/* set b = 1 */a -- set c = 1\n to 2, 3 ;', ['a']],
    ['select 1; set a = 1; commit; set b to 2', ['a', 'b']],
    ['-- first\nset a = 1', ['a']],
    ['set local.x = 1', ['local.x']],
    ['set a.b.c from current', ['a.b.c']],
    ['set search_path = local', ['search_path']],
    ["set schema 'x'", ['search_path']],
    ['set role x', ['role']],
    ["set role = 'x'", ['role']],
    ['set session role none', ['role']],
    ["set time zone 'UTC'", ['timezone']],
    ["set names 'utf8'", ['client_encoding']],
    ['set xml option document', ['xmloption']],
    ['set session authorization default', ['session_authorization', 'role']],
    ['SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY', CHARACTERISTICS],
    ["select set_config('search_path', '', false)", ['search_path']],
    [`select pg_catalog . "set_config" /* ( */ ('A.b', f($1, ')'), $2)`, ['a.b']],
    [
      "select set_config('a', '1', false), set_config('b', '1', true), set_config('c', '1', x > 1)",
      ['a', 'c'],
    ],
    ["SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'y'", ['y']],
    ['do $$ begin set x = 1; end $$; set y = 2', ['y']],
  ])('%s', (text, set) => {
    expect(settingsIn(text)).toMatchObject({ set, reset: [], resetsAll: false, unknown: false });
  });
});

describe('a text resets', () => {
  test.each<[string, readonly string[], boolean]>([
    ['reset a', ['a'], false],
    ['RESET "My.Guc";', ['my.guc'], false],
    ['set a to default', ['a'], false],
    ['set a = DEFAULT', ['a'], false],
    ['set time zone local', ['timezone'], false],
    ['reset time zone', ['timezone'], false],
    ['set names', ['client_encoding'], false],
    ['reset role', ['role'], false],
    ['/* all */ reset /* all */ all', [], true],
    ['discard all', ['session_authorization', 'role'], true],
  ])('%s', (text, reset, resetsAll) => {
    expect(settingsIn(text)).toMatchObject({ set: [], reset, resetsAll, unknown: false });
  });
});

test.each([
  'set local a = 1',
  'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE',
  'set transaction_isolation = serializable',
  'reset transaction isolation level',
])('%s changes nothing of the session, and has the tag of a SET or RESET', (text) => {
  expect(settingsIn(text)).toMatchObject({
    set: [],
    reset: [],
    resetsAll: false,
    commands: 1,
    unknown: false,
  });
});

test.each([
  'update t set a = 1',
  'select 1 -- set x = 1',
  "select 'set x = 1; set y = 2'",
  'set constraints all deferred',
  "select set_config('a', $1, true)",
  'select setting from pg_settings',
  'discard plans',
  'alter role x set a = 1; select 1',
  '',
])('%s changes no setting', (text) => {
  expect(settingsIn(text)).toBeUndefined();
});

test.each([
  'select set_config($1, $2, false)',
  "select set_config('a' || 'b', '1', false)",
  'select set_config(name, setting, false) from pg_settings',
  "select set_config(name, 'x', false) from pg_settings where name = 'y' or true",
  "update pg_settings set setting = '1'",
  'set u&"a" = 1',
  String.raw`select u&"set\005fconfig"('a', 'b', false)`,
  "select query_to_xml('select set_config(''a'', ''b'', false)', true, true, '')",
  "set a = E'\\'; set b = 1",
  "set a = 'x; set b = 1",
  "set a = '\\'; set b = 1'",
  'set seed to 0.5',
  'set ü = 1',
  'set',
  'reset a b',
  `set a = 1; select '${'x'.repeat(300_000)}'`,
])('of %s it is not known which it changes', (text) => {
  expect(settingsIn(text)?.unknown).toBe(true);
});

describe('until its transaction ends, a text sets', () => {
  test.each<[string, readonly string[], boolean]>([
    ['set local search_path = b', ['search_path'], false],
    ["SET LOCAL SCHEMA 'b'", ['search_path'], false],
    ['set local "search_path" to default', ['search_path'], false],
    ['set local role x', ['role'], false],
    ['set local session authorization x', ['session_authorization', 'role'], false],
    ['set local xml option document', ['xmloption'], false],
    ["select set_config('Search_Path', $1, true), set_config('a', '', true)", ['search_path'], false],
    ["select set_config('array_nulls', 'off', true)", ['array_nulls'], false],
    ["select set_config($1, 'x', true)", [], true],
    ["select set_config(concat('ro', 'le'), 'x', true)", [], true],
    [String.raw`select set_config(E'search\137path', 'b', true)`, [], true],
    [String.raw`select set_config(U&'search!005fpath' uescape '!', 'b', true)`, [], true],
    ['do $$ begin set local search_path = b; end $$', [], true],
    ["DO 'begin perform f(); end'", [], true],
    ['call p()', [], true],
    ['select 1; call p()', [], true],
    ['/* a */ call p()', [], true],
    [`-- a\ncall p('${'x'.repeat(300_000)}')`, [], true],
  ])('%s', (text, local, opaque) => {
    expect(settingsIn(text)).toMatchObject({ set: [], reset: [], local, opaque, unknown: false });
  });

  test.each([
    'set local statement_timeout = 1',
    'set local transaction read only',
    'set local time zone default',
  ])('%s: nothing that says what a text means', (text) => {
    expect(settingsIn(text)).toMatchObject({ local: [], opaque: false, commands: 1 });
  });

  test.each([
    'insert into t values (1) on conflict do nothing',
    '/* a */ insert into t values (1) on conflict\n do nothing',
    "select 'x'; select call from t",
  ])('%s: nothing', (text) => {
    expect(settingsIn(text)).toBeUndefined();
  });
});

test('each command with the tag of a SET or RESET is counted', () => {
  expect(settingsIn('set a = 1; reset b; set local c = 1; select 1; discard all; reset all')?.commands).toBe(
    4,
  );
});

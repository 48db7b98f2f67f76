/** Which statements may leave state by the functions that they run, as a database says it. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Conversation } from '../../../core/upstream/conversation.ts';
import { FunctionCatalog, queryFunctions } from '../../../core/upstream/function-catalog.ts';
import type { Pool } from '../../../core/upstream/pool/pool.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { poolOf, request } from './support.ts';

const postgres = sharedPostgres();
let database: string;
let pool: Pool;

beforeEach(async () => {
  database = await freshDatabase();
  pool = poolOf({
    host: postgres.host,
    port: postgres.port,
    login: { kind: 'password', passwords: postgres.passwords },
  });
});
afterEach(() => pool.close());

async function catalog(): Promise<FunctionCatalog> {
  const connection = await pool.acquire(request({ database }));
  const talk = new Conversation(connection.channel, new AbortController().signal, connection.parameters);
  try {
    return await queryFunctions(talk);
  } finally {
    talk.end();
    pool.checkIn(connection, 'clean');
  }
}

const lock = (name: string, more = ''): string =>
  `create function ${name}(${more}) returns int language plpgsql as 'begin perform pg_advisory_lock(1); return 1; end'`;
const lockTrigger = `create function lock() returns trigger language plpgsql as
  'begin perform pg_advisory_lock(1); return new; end'`;

test('a database without functions of its own: nothing but names of PostgreSQL’s own functions', async () => {
  const known = await catalog();
  expect(known.leaves('select 1')).toBe('nothing');
  expect(known.leaves('insert into t values (1)')).toBe('nothing');
  expect(known.leaves('select setseed(0.5)')).toBe('state');
  expect(known.leaves("select pg_catalog.QUERY_TO_XML('select 1', true, true, '')")).toBe('state');
  expect(known.leaves(String.raw`select U&"\0073et_config"('a.b', 'c', false)`)).toBe('state');
});

test('sequences: what may take a value of one', async () => {
  await postgres.sql('create table t (id int generated always as identity)', database);
  const known = await catalog();
  expect(known.leaves('select 1')).toBe('nothing');
  expect(known.leaves('update t set id = id')).toBe('nothing');
  expect(known.leaves('update t set id = DEFAULT')).toBe('sequences');
  expect(known.leaves('with a as (insert into t default values) select 1')).toBe('sequences');
  expect(known.leaves("select nextval('t_id_seq')")).toBe('sequences');
});

test('functions that do what most do leave nothing', async () => {
  await postgres.sql(
    `create table t (id int, at timestamptz, note text);
    create function touch() returns trigger language plpgsql as $$
    begin
      -- set the time
      new.at = now(); /* reset; execute 'x' */
      perform set_config('app.user', new.note, true);
      return new;
    end $$;
    create trigger touch before update on t for each row execute function touch();
    create function uid() returns text stable language sql as $$ select current_setting('request.sub', true) $$;
    alter table t enable row level security; create policy mine on t using (note = uid());
    create function rename(i int) returns void language plpgsql as $$
    begin
      if i > 0 then update only t as u set note = 'set x = 1; listen' where id = i; else update t set note = ''; end if;
      set local statement_timeout = '1s';
    end $$;
    create function twice(i int) returns int language sql begin atomic; select i * 2; end;
    create view v as select twice(id) from t;`,
    database,
  );
  const known = await catalog();
  for (const text of ['select * from v', 'update t set note = $1', 'select rename(1), twice(2), uid()'])
    expect([known.leaves(text), known.changesContext(text)], text).toEqual(['nothing', false]);
});

test.each([
  ['SET LOCAL search_path', 'begin set local search_path = b; return 1; end'],
  ['SET LOCAL SCHEMA', "begin set local schema 'b'; return 1; end"],
  ['SET LOCAL ROLE', 'begin set local role reader; return 1; end'],
  ['SET LOCAL of a name in quotes', 'begin set local "search_path" to b; return 1; end'],
  ['SET LOCAL of a reading', 'begin set local array_nulls = off; return 1; end'],
  ['set_config of search_path', "begin perform set_config('Search_Path', 'b', true); return 1; end"],
  [
    'set_config of a variable',
    "declare n text := 'role'; begin perform set_config(n, 'b', true); return 1; end",
  ],
  ['set_config of parts', "begin perform set_config('search' || '_path', 'b', true); return 1; end"],
  [
    'set_config of a name with escapes',
    String.raw`begin perform set_config(E'search\x5fpath', 'b', true); return 1; end`,
  ],
  [
    'set_config twice',
    "begin perform set_config('a.b', '', true), set_config('search_path', 'b', true); return 1; end",
  ],
  [
    'set_config beside a text about it',
    "declare n text := 'search_path'; begin raise notice 'set_config(''a.b'','; perform set_config(n, 'b', true); return 1; end",
  ],
])('a function with %s changes what later texts of its transaction mean', async (_what, body) => {
  await postgres.sql(
    `create function f() returns int language plpgsql as $body$${body}$body$;
    create function g() returns int language sql as 'select f()';
    create table t (n int); create table u (n int); create function fire() returns trigger language plpgsql as
      $$ begin perform g(); return new; end $$;
    create trigger fire before insert on t for each row execute function fire()`,
    database,
  );
  const known = await catalog();
  const texts = [
    'select f()',
    'select public.G ()',
    'insert into t values (1)',
    'select 1',
    'select n from u',
  ];
  expect(texts.map((text) => known.changesContext(text))).toEqual([true, true, true, false, false]);
});

test('by a view any statement may change it', async () => {
  await postgres.sql(
    `create function f() returns int language plpgsql as $$ begin set local search_path = b; return 1; end $$;
    create view v as select f()`,
    database,
  );
  const known = await catalog();
  expect([known.leaves('select 1'), known.changesContext('select 1')]).toEqual(['nothing', true]);
});

test('a name is found wherever it stands, whatever its case', async () => {
  await postgres.sql(`${lock('"Take_It"')}; ${lock('f')}`, database);
  const known = await catalog();
  for (const text of [
    'select "Take_It"()',
    'select f()',
    'select F ()',
    'select public.f/**/()',
    'select t.f from t',
    'select x.* from f() as x',
  ])
    expect(known.leaves(text), text).toBe('state');
  for (const text of ['select 1', 'select ff(), f_(), f1()', 'select * from form'])
    expect(known.leaves(text), text).toBe('nothing');
});

test.each([
  ['dynamic SQL', "begin execute 'listen x'; return 1; end"],
  ['SET', 'begin set a.b = 1; return 1; end'],
  ['SET behind an UPDATE', 'begin update t set a = 1; set a.b = 1; return 1; end'],
  ['SET behind a comment about an UPDATE', 'begin\n-- update x\nset a.b = 1; return 1; end'],
  ['SET in an ELSE', 'begin if true then update t set a = 1; else set a.b = 1; end if; return 1; end'],
  [
    'SET behind FOR UPDATE',
    'begin if exists (select from t for update) then set a.b = 1; end if; return 1; end',
  ],
  ['SET SESSION', "begin set session a.b = 'x'; return 1; end"],
  ['SET LOCAL and another', 'begin set local a.b = 1; set a.b = 1; return 1; end'],
  ['RESET', 'begin reset a.b; return 1; end'],
  ['LISTEN', 'begin listen x; return 1; end'],
  ['a temporary table', 'begin create temp table x (); return 1; end'],
  ['a table in pg_temp', 'begin select 1 as i into pg_temp.x; return 1; end'],
  ['PREPARE', 'begin prepare p as select 1; return 1; end'],
  ['DO', 'begin do $x$ begin end $x$; return 1; end'],
  ['DISCARD', 'begin discard sequences; return 1; end'],
  ['LOAD', "begin load 'x'; return 1; end"],
  ['set_config', "begin perform set_config('a.b', 'x', false); return 1; end"],
  ['set_config by a variable', "declare l bool; begin perform set_config('a.b', 'x', l); return 1; end"],
  [
    'set_config twice',
    "begin perform set_config('a.b', 'x', true), set_config('a.b', 'x', false); return 1; end",
  ],
  ['setseed', 'begin perform setseed(0.1); return 1; end'],
  ['a try', 'begin perform pg_try_advisory_lock_shared(1); return 1; end'],
  ['a name in escapes', String.raw`begin perform U&"\0073etseed"(0.1); return 1; end`],
  ['a literal that may end elsewhere', String.raw`begin perform '\', setseed(1)'; return 1; end`],
])('a function with %s may leave state', async (_what, body) => {
  await postgres.sql(
    `set check_function_bodies = off; create function f() returns int language plpgsql as $body$${body}$body$`,
    database,
  );
  const known = await catalog();
  expect(known.leaves('select f()')).toBe('state');
  expect(known.leaves('select 1')).toBe('nothing');
});

test.each([
  ['another function', `create function g() returns int language sql as 'select f()'`],
  [
    'a function with a parsed body',
    'create function g() returns int language sql begin atomic; select f(); end',
  ],
  ['a default of an argument', `create function g(i int default f()) returns int language sql as 'select 1'`],
  [
    'an aggregate',
    `create function s(int, int) returns int language sql as 'select f()'; create aggregate g(int) (sfunc = s, stype = int)`,
  ],
  [
    'a function of a function',
    `create function h() returns int language sql as 'select f()'; create function g() returns int language sql as 'select h()'`,
  ],
])('%s that runs such a function may leave state', async (_what, sql) => {
  await postgres.sql(`${lock('f')}; ${sql}`, database);
  const known = await catalog();
  expect(known.leaves('select g(1)')).toBe('state');
  expect(known.leaves('select 1')).toBe('nothing');
});

test.each([
  ['a view', `${lock('f')}; create view v as select f()`],
  ['a view of PostgreSQL’s own function', 'create view v as select pg_try_advisory_lock(1)'],
  ['a view of pg_settings, which can be updated', 'create view v as select name, setting from pg_settings'],
  ['a policy', `create table t (i int); ${lock('f')}; create policy p on t using (f() = 1)`],
  [
    'a policy with PostgreSQL’s own function',
    'create table t (i int); create policy p on t using (pg_try_advisory_lock(1))',
  ],
  ['a rule', 'create table t (i int); create rule r as on update to t do also select pg_advisory_lock(1)'],
  ['a check', `create table t (i int); ${lock('f')}; alter table t add check (f() = 1)`],
  ['a domain', `${lock('f', 'i int')}; create domain d as int check (f(value) = 1)`],
  [
    'an operator',
    `${lock('f', 'i int, j int')}; create operator ### (leftarg = int, rightarg = int, function = f)`,
  ],
  [
    'a cast',
    `create type c as (i int); create function f(c) returns int language plpgsql as 'begin perform pg_advisory_lock(1); return 1; end'; create cast (c as int) with function f(c)`,
  ],
  [
    'an index',
    `create table t (i int); create function f(i int) returns int immutable language plpgsql as 'begin perform pg_advisory_lock(1); return 1; end'; create index on t (f(i))`,
  ],
  ['a strange name', lock('"select"') + `; ${lock('"ä"')}`],
])('by %s any statement may leave state', async (_what, sql) => {
  await postgres.sql(sql, database);
  const known = await catalog();
  expect(known).not.toBe(FunctionCatalog.unknown);
  expect(known.leaves('select 1')).toBe('state');
});

test.each([
  [
    'a trigger',
    `create table t (i int); ${lockTrigger}; create trigger l before delete on t for each row execute function lock()`,
  ],
  [
    'the condition of a trigger',
    `create table t (i int); ${lockTrigger.replace('perform pg_advisory_lock(1);', '')}; create trigger l before delete on t for each row when (pg_try_advisory_lock(1)) execute function lock()`,
  ],
  ['a default', 'create table t (i int, b bool default pg_try_advisory_lock(1))'],
])('by %s a statement that writes may leave state, and no other', async (_what, sql) => {
  await postgres.sql(`${sql}; create function g() returns void language sql as 'delete from t'`, database);
  const known = await catalog();
  expect(known.leaves('select 1')).toBe('nothing');
  expect(known.leaves('delete from t')).toBe('state');
  expect(known.leaves('select g()')).toBe('state');
});

test('what a trigger or a rule takes from a sequence', async () => {
  await postgres.sql(
    `create table t (i int); create table log (id serial, i int);
    create function note() returns trigger language plpgsql as 'begin insert into log (i) values (old.i); return null; end';
    create trigger note after delete on t for each row execute function note();`,
    database,
  );
  const known = await catalog();
  expect(known.leaves('delete from t')).toBe('sequences');
  expect(known.leaves('select note()')).toBe('sequences');
  expect(known.leaves('select 1')).toBe('nothing');
});

test('a function that is not written in SQL may leave state', async () => {
  await postgres.sql(
    `create function loose(text, text, boolean) returns text language internal as 'set_config_by_name'`,
    database,
  );
  const known = await catalog();
  expect(known.leaves("select loose('a.b', 'c', false)")).toBe('state');
});

test('more than is read may leave any state', async () => {
  await postgres.sql(
    `create function long() returns int language sql as $$ select ${'1 + '.repeat(6_000)} 1 $$;
    create function short() returns int language sql as 'select 1'`,
    database,
  );
  const known = await catalog();
  expect(known.leaves('select long()')).toBe('state');
  expect(known.leaves('select short()')).toBe('nothing');
});

test('a role that may not read the catalog learns nothing', async () => {
  await postgres.sql('revoke select on pg_catalog.pg_policy from public', database);
  expect(await catalog()).toBe(FunctionCatalog.unknown);
});

test('objects of the role do not answer for the catalog', async () => {
  await postgres.sql(
    `create schema fake; create table fake.pg_proc (); create function fake.bool_or(bool) returns bool language sql as 'select false';
    create operator fake.~ (leftarg = text, rightarg = text, function = pg_catalog.textne);
    grant usage on schema fake to public; alter database "${database}" set search_path = fake, pg_catalog; ${lock('public.f')}`,
    database,
  );
  const known = await catalog();
  expect(known.leaves('select f()')).toBe('state');
  expect(known.leaves('select 1')).toBe('nothing');
});

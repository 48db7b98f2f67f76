/** State that neither tags nor texts show: what functions, triggers, rules and the like leave is met by no other session of the same identity. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GOOD_TOKEN, databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { severalWorkers } from '../support/only-one-worker.ts';
import { parseRole } from '../../core/contract/names.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';

const postgres = sharedPostgres();
let database: string;
/** The same, and nobody is connected to it: it can be copied. */
let model: string;
let copies = 0;
let running: RunningGateway;

/** All sessions are of one identity. */
const onePerson: AnyPlugin = {
  name: 'one-person',
  provides: ['identity'],
  async onAuth(session, upstream) {
    await session.token();
    const expiresAt = new Date(Date.now() + 3_600_000);
    session.establish('identity', { subject: 'ada', issuer: 'test', claims: {}, expiresAt });
    return { ...upstream, role: parseRole('writer') };
  },
};

/** By a word: what a function does, without a word of it in the statement that runs it. */
const DEEDS: Readonly<Record<string, string>> = {
  lock: 'perform pg_advisory_lock(4711)',
  shared: 'perform pg_advisory_lock_shared(4711)',
  listen: `execute 'listen news'`,
  temp: 'create temp table if not exists kept (i int)',
  setting: `perform set_config('my.mark', 'left', false)`,
  set: `set my.mark = 'left'`,
  zone: `set timezone = 'Asia/Tokyo'`,
  timeout: `set statement_timeout = 1`,
  path: `perform set_config('search_path', 'evil, public', false)`,
  prepare: `execute 'prepare p as select 1'`,
  value: `perform nextval('counted')`,
  seed: 'perform setseed(0.5)',
};

/** What a fresh session answers, one text per kind of state. */
const SHOWN = `select
  (select count(*) from pg_catalog.pg_locks where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid()) as locks,
  (select count(*) from pg_catalog.pg_listening_channels()) as channels,
  pg_catalog.to_regclass('pg_temp.kept') is null as temp,
  coalesce(nullif(pg_catalog.current_setting('my.mark', true), ''), 'none') as mark,
  pg_catalog.current_setting('TimeZone') = 'Asia/Tokyo' as zone, pg_catalog.current_setting('search_path') as path,
  pg_catalog.current_setting('statement_timeout') as timeout,
  (select count(*) from pg_catalog.pg_prepared_statements where from_sql) as prepared, pg_catalog.random() as chance`;
const FRESH = {
  locks: '0',
  channels: '0',
  temp: true,
  mark: 'none',
  zone: false,
  path: '"$user", public',
  timeout: '0',
  prepared: '0',
};

/** Ways to run a function, as what is made for it and the statement. `@` is the deed. */
const WAYS: Readonly<Record<string, { readonly made: string; readonly run: string }>> = {
  'a function': { made: '', run: 'select do_@()' },
  'a function of a function': {
    made: `create function outer_@() returns int language sql as 'select do_@()'`,
    run: 'select outer_@()',
  },
  'a procedure': {
    made: `create procedure call_@() language plpgsql as 'begin perform do_@(); end'`,
    run: 'call call_@()',
  },
  DO: { made: '', run: 'do $$ begin perform do_@(); end $$' },
  'a trigger': {
    made: `create table trigger_@ (i int); create function fire_@() returns trigger language plpgsql as
      'begin perform do_@(); return new; end'; create trigger t before insert on trigger_@ for each row execute function fire_@()`,
    run: 'insert into trigger_@ values (1)',
  },
  'a view': { made: 'create view view_@ as select do_@()', run: 'select * from view_@' },
  'a rule': {
    made: `create table rule_@ (i int); insert into rule_@ values (1);
      create rule r as on update to rule_@ do also select do_@()`,
    run: 'update rule_@ set i = 2',
  },
  'a policy': {
    made: `create table policy_@ (i int); insert into policy_@ values (1);
      alter table policy_@ enable row level security; create policy p on policy_@ using (do_@() = 1)`,
    run: 'select * from policy_@',
  },
  'a default': {
    made: 'create table default_@ (i int, j int default do_@())',
    run: 'insert into default_@ values (1)',
  },
  'a check': {
    made: 'create table check_@ (i int check (do_@() = i))',
    run: 'insert into check_@ values (1)',
  },
  'a domain': {
    made: 'create domain domain_@ as int check (do_@() = value)',
    run: 'select 1::domain_@',
  },
  'an operator': {
    made: `create function two_@(int, int) returns int language sql as 'select do_@()';
      create operator ### (leftarg = int, rightarg = int, function = two_@)`,
    run: 'select 1 ### 2',
  },
  'a cast': {
    made: `create type cast_@ as (i int); create function to_int_@(cast_@) returns int language sql as 'select do_@()';
      create cast (cast_@ as int) with function to_int_@(cast_@)`,
    run: 'select row(1)::cast_@::int',
  },
  'an aggregate': {
    made: `create function step_@(int, int) returns int language sql as 'select do_@()';
      create aggregate sum_@(int) (sfunc = step_@, stype = int, initcond = '0')`,
    run: 'select sum_@(i) from generate_series(1, 2) as i',
  },
  'an argument’s default': {
    made: `create function with_@(i int default do_@()) returns int language sql as 'select 1'`,
    run: 'select with_@()',
  },
};

const pool = { mode: 'transaction', size: 1 } as const;

/** The name is that of the database on the server. */
const { host, port, passwords } = postgres;
const anyDatabase = { host, port, login: { kind: 'password', passwords }, pool } as const;

/** The first number of a session with the seed that the function sets. */
let seeded: unknown;

beforeAll(async () => {
  [database, model] = [await freshDatabase(), await freshDatabase()];
  const functions = Object.entries(DEEDS).map(
    ([name, deed]) =>
      `create function do_${name}() returns int language plpgsql volatile as $f$ begin ${deed}; return 1; end $f$`,
  );
  const sql = `create sequence counted; create table serial (id serial, i int); create schema evil;
    create function evil.pg_backend_pid() returns int language sql as 'select 0';
    ${functions.join(';')};
    alter default privileges grant all on tables to public; grant all on all tables in schema public to public;
    grant all on all sequences in schema public to public; grant usage on schema evil to public`;
  for (const one of [database, model]) await postgres.sql(sql, one);
  seeded = (await postgres.sql('select setseed(0.5); select random()'))[0]?.['random'];
  running = await startGateway({
    databases: {
      calls: databaseOf(postgres, { database, pool }),
      tags: databaseOf(postgres, { database, pool: { ...pool, detect: 'tags' } }),
      state: databaseOf(postgres, { database, pool: { ...pool, detect: 'state' } }),
      session: databaseOf(postgres, { database, pool: { mode: 'session', size: 1 } }),
      '*': anyDatabase,
    },
    plugins: [onePerson],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  for (let i = 1; i <= copies; i += 1)
    await postgres.sql(`drop database if exists hidden_${i}_${database} with (force)`);
});

async function connect(to = 'calls'): Promise<Client> {
  const address = { host: '127.0.0.1', port: running.port, user: '_', password: GOOD_TOKEN, database: to };
  const client = new Client(address);
  client.on('error', () => {});
  await client.connect();
  return client;
}

const code = async (client: Client, sql: string): Promise<unknown> =>
  client.query(sql).then(
    () => 'done',
    (error: unknown) => (error as { code?: string }).code,
  );

/** What the next session of the same identity meets on the pool's only connection. */
async function met(run: (client: Client) => Promise<unknown>, to?: string): Promise<unknown> {
  const [leaving, next] = [await connect(to), await connect(to)];
  try {
    // One gets it from the other: the gateway has asked which functions may leave state then.
    for (const client of [leaving, next, leaving]) await client.query('select 1');
    await run(leaving).catch(() => {});
    const { chance, ...rest } = (await next.query<Record<string, unknown>>(SHOWN)).rows[0] ?? {};
    return { ...rest, lastval: await code(next, 'select lastval()'), isSeeded: chance === seeded };
  } finally {
    await Promise.all([leaving.end(), next.end()]);
  }
}

const ALL_FRESH = { ...FRESH, lastval: '55000', isSeeded: false };

test.skipIf(severalWorkers('sessions of several workers have no server connection in common'))(
  'a connection goes on as it is where nothing that was run may leave state',
  async () => {
    const [leaving, next] = [await connect(), await connect()];
    for (const client of [leaving, next]) await client.query('select 1');
    await leaving.query({ name: 'n', text: 'select upper($1::text)', values: ['a'] });
    const { rows } = await next.query('select count(*)::int as n from pg_prepared_statements');
    expect(rows).toEqual([{ n: 1 }]);
    await Promise.all([leaving.end(), next.end()]);
  },
);

describe('by a function', () => {
  test.each(Object.keys(DEEDS))('%s', async (deed) => {
    expect(await met((client) => client.query(`select do_${deed}()`))).toEqual(ALL_FRESH);
    const named = { name: 'n', text: `select do_${deed}() where $1 = 1`, values: [1] };
    expect(await met((client) => client.query(named))).toEqual(ALL_FRESH);
    // Prepared in one transaction, executed in later ones.
    const twice = async (client: Client): Promise<void> => {
      await client.query({ ...named, values: [0] });
      await client.query('select 1');
      await client.query(named);
    };
    expect(await met(twice)).toEqual(ALL_FRESH);
    expect(await met((client) => client.query(`begin; select do_${deed}(); rollback`))).toEqual(ALL_FRESH);
    expect(await met((client) => client.query(`select do_${deed}(); select 1/0`))).toEqual(ALL_FRESH);
  });

  test.skipIf(severalWorkers('sessions of several workers have no server connection in common'))(
    'without the catalog another session does meet it',
    async () => {
      expect(await met((client) => client.query('select do_setting()'), 'tags')).toMatchObject({
        mark: 'left',
      });
    },
  );
});

describe.each(Object.entries(WAYS))('by %s', (_way, { made, run }) => {
  test.each(['lock', 'setting', 'value', 'seed'])('%s', async (deed) => {
    const own = await copyWith(made.replaceAll('@', deed));
    expect(await met((client) => client.query(run.replaceAll('@', deed)), own)).toEqual(ALL_FRESH);
  });
});

test.each([
  ['an INSERT', 'insert into serial (i) values (1)'],
  ['an INSERT in a WITH', 'with a as (insert into serial (i) values (1)) select 1'],
  ['nextval', `select nextval('counted')`],
])('what %s takes from a sequence', async (_what, sql) => {
  expect(await met((client) => client.query(sql))).toEqual(ALL_FRESH);
  expect(await met((client) => client.query({ name: 'n', text: sql }))).toEqual(ALL_FRESH);
});

test('what a sequence gave stays readable within its transaction, and on the connection while nobody else needs that', async () => {
  const [one, two] = [await connect(), await connect()];
  for (const client of [one, two, one]) await client.query('select 1');
  const { rows } = await one.query(`select nextval('counted')::int as n`);
  expect((await one.query('select lastval()::int as n')).rows).toEqual(rows);
  await Promise.all([one.end(), two.end()]);
});

test('a function that is made through the gateway is known at once', async () => {
  const [maker, caller, next] = [await connect(), await connect(), await connect()];
  for (const client of [maker, caller, next]) await client.query('select 1');
  await postgres.sql('grant create on schema public to writer', database);
  const sql = `create or replace function made() returns int language plpgsql as
    'begin perform do_lock(); return 1; end'`;
  await maker.query('begin');
  await maker.query(sql);
  await maker.query('commit');
  await caller.query('select made()');
  expect((await next.query(SHOWN)).rows[0]).toMatchObject(FRESH);
  await Promise.all([maker.end(), caller.end(), next.end()]);
});

test('a lock that a function has taken is gone when its session has ended, as on PostgreSQL', async () => {
  const client = await connect();
  await client.query('select do_lock()');
  const locks = (): Promise<unknown[]> =>
    postgres.sql(
      `select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = '${database}')`,
    );
  expect(await locks()).toHaveLength(1);
  await client.end();
  await expect.poll(async () => (await locks()).length).toBe(0);
});

describe('in session mode', () => {
  test.each(['lock', 'setting', 'value', 'seed'])('%s', async (deed) => {
    const first = await connect('session');
    await first.query('select 1');
    await first.end();
    const leaving = await connect('session');
    await leaving.query(`select do_${deed}()`);
    await leaving.end();
    const next = await connect('session');
    const { chance, ...rest } = (await next.query<Record<string, unknown>>(SHOWN)).rows[0] ?? {};
    expect({ ...rest, lastval: await code(next, 'select lastval()'), isSeeded: chance === seeded }).toEqual(
      ALL_FRESH,
    );
    await next.end();
  });
});

/** A copy of the database with more in it: some of that may be run by any statement. */
async function copyWith(sql: string): Promise<string> {
  const name = `hidden_${(copies += 1)}_${database}`;
  await postgres.sql(`create database ${name} template ${model}`);
  await postgres.sql(`${sql}; grant all on all tables in schema public to public`, name);
  return name;
}

/** The settings of a session in transaction mode: they follow it, and it alone, as if it had a connection of its own. */
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { B, E, P, Q, S } from '../../support/frames.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import type { RawClient } from '../../support/raw.ts';
import { believed, say, straight } from '../../support/settings-client.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { Arrival, SharedSession, SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let shared: SharedSessions | undefined;
const directs: RawClient[] = [];

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    `grant reader to writer; create schema two; grant usage on schema two to writer, reader; create table t (n int);
     grant select, insert on t to writer; grant select on t to reader`,
    database,
  );
});
afterEach(async () => {
  for (const client of directs.splice(0)) client.close();
  await shared?.close();
  shared = undefined;
});

/** A client of PostgreSQL itself. */
async function alone(): Promise<RawClient> {
  const client = await straight(postgres, database);
  directs.push(client);
  return client;
}

async function sessions(size: number, ...arrivals: readonly Arrival[]): Promise<SharedSession[]> {
  shared = sharedSessions(postgres, database, size);
  const all: SharedSession[] = [];
  for (const arrival of arrivals) all.push(await shared.connect(arrival));
  return all;
}

function fail(): never {
  throw new Error('there is no such session');
}

/** Two sessions of one identity, one of another, on one connection. */
const three = (): Promise<SharedSession[]> => sessions(1, {}, {}, { fingerprint: 'other' });

/** Ways to set something, how it is seen, and the value that is seen. */
const WAYS: readonly (readonly [name: string, sets: readonly Buffer[], looks: string, finds: string])[] = [
  ['SET', [Q('set statement_timeout = 4711')], 'show statement_timeout', '4711ms'],
  ['SET in a transaction', [Q('begin'), Q("set work_mem to '3MB'"), Q('commit')], 'show work_mem', '3MB'],
  ['SET of row_security', [Q('set row_security = off')], 'show row_security', 'off'],
  ['SET of a custom setting', [Q(`set "my.App" = 'it''s; "mine"'`)], 'show my.app', `it's; "mine"`],
  ['a list', [Q('set search_path to two, "$user", public')], 'show search_path', 'two, "$user", public'],
  ['SET SCHEMA', [Q("set schema 'two'")], 'show search_path', 'two'],
  ['SET TIME ZONE', [Q("set time zone interval '-08:00' hour to minute")], 'show timezone', '<-08>+08'],
  ['SET NAMES', [Q("set names 'LATIN1'")], 'show client_encoding', 'LATIN1'],
  ['SET XML OPTION', [Q('set xml option document')], 'show xmloption', 'document'],
  [
    'SET SESSION CHARACTERISTICS',
    [Q('set session characteristics as transaction isolation level serializable, read only')],
    "select current_setting('transaction_isolation') || ' ' || current_setting('transaction_read_only')",
    'serializable on',
  ],
  [
    'a deferrable default',
    [Q('set session characteristics as transaction isolation level serializable, read only, deferrable')],
    'show transaction_deferrable',
    'on',
  ],
  [
    'default_transaction_read_only',
    [Q('set default_transaction_read_only = on')],
    'insert into t values (1)',
    '25006',
  ],
  ['SET ROLE', [Q('set role reader')], 'select current_user', 'reader'],
  [
    'set_config',
    [Q("select pg_catalog.set_config('search_path', '', false)")],
    "select '<' || current_setting('search_path') || '>'",
    '<>',
  ],
  [
    'set_config with a parameter as value',
    [P("select set_config('my.app', $1, false)"), B('', 'x'), E, S],
    'show my.app',
    'x',
  ],
  [
    'set_config as pg_dump calls it',
    [Q("SELECT set_config(name, 'iso_8601', false) FROM pg_settings WHERE name = 'IntervalStyle'")],
    'show intervalstyle',
    'iso_8601',
  ],
  ['an unnamed statement', [P('set lock_timeout = 4711'), B(), E, S], 'show lock_timeout', '4711ms'],
  ['a named one', [P('set lock_timeout = 4711', 's'), S, B('s'), E, S], 'show lock_timeout', '4711ms'],
  [
    'several in a text',
    [Q("/* a */ select 1; set my.a = '1' ; set my.b to 2; select 2")],
    'select current_setting($$my.a$$) || current_setting($$my.b$$)',
    '12',
  ],
  [
    'a pipeline',
    [P('set my.a = 1'), B(), E, S, P('set my.a = 2'), B(), E, S, Q('select 1')],
    'show my.a',
    '2',
  ],
  [
    'SET before a batch after which the connection is closed',
    [Q('set lock_timeout = 4711'), B('missing'), Buffer.concat([Q('select 1'), S])],
    'show lock_timeout',
    '4711ms',
  ],
  [
    'SET of a reported one before a batch after which the connection is closed',
    [Q("set application_name = 'mine'"), B('missing'), Buffer.concat([Q('select 1'), S])],
    'show application_name',
    'mine',
  ],
  [
    'a savepoint',
    [Q('begin'), Q('set my.a = 1'), Q('savepoint a'), Q('set my.a = 2'), Q('rollback to a'), Q('commit')],
    'show my.a',
    '1',
  ],
  [
    'a transaction behind one that fails',
    [Q('begin; set my.a = 1; select 1/0'), Q('rollback'), Q('set my.a = 3')],
    'show my.a',
    '3',
  ],
];

describe('a setting follows its session, and no other meets it', () => {
  test.each(WAYS)('%s', async (_name, sets, looks, finds) => {
    const [mine = fail(), same = fail(), other = fail()] = await three();
    const own = await alone();
    const said = await say(mine, ...sets);
    expect(said).toEqual(await say(own, ...sets));
    for (let round = 0; round < 3; round += 1) {
      expect([(await say(mine, Q(looks)))[0], (await say(own, Q(looks)))[0]]).toEqual([finds, finds]);
      for (const one of [same, other]) expect((await say(one, Q(looks)))[0]).not.toBe(finds);
    }
    expect((await say(mine, Q(looks)))[0]).toBe(finds);
  });

  const NOT: readonly (readonly [name: string, sets: readonly Buffer[]])[] = [
    ['it is rolled back', [Q('begin'), Q('set work_mem = 4711'), Q('rollback')]],
    ['its transaction fails', [Q('begin'), Q('set work_mem = 4711'), Q('select 1/0'), Q('commit')]],
    ['it is refused', [Q("set work_mem = 'much'")]],
    ['it is local', [Q('begin; set local work_mem = 4711; commit')]],
    ['its text fails behind it', [Q('set work_mem = 4711; select 1/0')]],
    ['it is reset', [Q('set work_mem = 4711'), Q('reset work_mem')]],
    ['all are reset', [Q('set work_mem = 4711'), Q('reset all')]],
    ['all is discarded', [Q('set work_mem = 4711'), Q('discard all')]],
    ['it is set to its default', [Q('set work_mem = 4711'), Q('set work_mem to default')]],
    ['a function hides its name', [Q("select set_config('work' || '_mem', '4711', false)")]],
    ['a DO hides it', [Q('do $$ begin set work_mem = 4711; end $$')]],
  ];
  test.each(NOT)('not where %s', async (_name, sets) => {
    const [mine = fail(), same = fail()] = await three();
    const [before] = await say(same, Q('show work_mem'));
    await say(mine, ...sets);
    for (const one of [mine, same, mine]) expect((await say(one, Q('show work_mem')))[0]).toBe(before);
  });
});

test('a role follows its session, is taken off for others, and RESET ROLE returns to its own', async () => {
  const [mine = fail(), same = fail(), other = fail()] = await three();
  await say(mine, Q('set role reader'));
  for (const one of [same, other]) expect((await say(one, Q('select current_user')))[0]).toBe('writer');
  expect((await say(mine, Q('insert into t values (1)')))[0]).toBe('42501');
  await say(mine, Q('set work_mem = 4711'));
  expect((await say(same, Q('select current_user')))[0]).toBe('writer');
  expect((await say(mine, Q("select current_user || current_setting('work_mem')")))[0]).toBe('reader4711kB');
  await say(mine, Q('reset role'));
  expect((await say(same, Q('select current_user')))[0]).toBe('writer');
  expect((await say(mine, Q('select current_user')))[0]).toBe('writer');
});

test('a role that the server refuses by now refuses the transaction, and no statement runs with more rights', async () => {
  await postgres.sql('create role brief; grant brief to writer');
  const [mine = fail(), same = fail()] = await three();
  await say(mine, Q('set role brief'));
  expect((await say(mine, Q('select current_user')))[0]).toBe('brief');
  await postgres.sql('revoke brief from writer');
  expect((await say(same, Q('select current_user')))[0]).toBe('writer');
  expect(await say(mine, Q('select current_user'))).toEqual(['42501']);
  expect((await say(same, Q('select current_user')))[0]).toBe('writer');
  await postgres.sql('grant brief to writer');
  expect((await say(mine, Q('select current_user')))[0]).toBe('brief');
  mine.close();
  await say(same, Q('select 1'));
});

test('RESET of a startup parameter returns to the value of the startup, and the client is told', async () => {
  const parameters = { TimeZone: 'Asia/Tokyo', extra_float_digits: '2' };
  const [mine = fail(), same = fail()] = await sessions(1, { parameters }, {});
  for (const reset of ['reset timezone', 'set timezone to default', 'reset all', 'discard all']) {
    await say(mine, Q("set timezone = 'Europe/Berlin'; set extra_float_digits = 3"));
    expect((await say(mine, Q('show timezone')))[0]).toBe('Europe/Berlin');
    await say(mine, Q(reset));
    expect((await say(mine, Q('show timezone')))[0]).toBe('Asia/Tokyo');
    expect(believed(mine, 'TimeZone')).toBe('Asia/Tokyo');
    const digits = reset.endsWith('all') ? '2' : '3';
    expect((await say(mine, Q('show extra_float_digits')))[0]).toBe(digits);
    expect((await say(same, Q('show timezone')))[0]).not.toBe('Asia/Tokyo');
    expect((await say(mine, Q('show timezone')))[0]).toBe('Asia/Tokyo');
  }
});

test('a time-out in the way of the gateway keeps the connection with its session, or is removed by a reset', async () => {
  const [mine = fail(), same = fail(), other = fail()] = await sessions(3, {}, {}, {});
  await say(mine, Q('set statement_timeout = 1'));
  for (let round = 0; round < 3; round += 1)
    for (const one of [same, other, mine])
      expect((await say(one, Q('show statement_timeout')))[0]).toBe(one === mine ? '1ms' : '0');
});

test('a session without settings of its own asks nothing, and one with three asks only where its connection changes', async () => {
  const [mine = fail(), plain = fail(), more = fail()] = await sessions(1, {}, {}, {});
  const statements = async (): Promise<number> => {
    const [row] = await postgres.sql(
      `select xact_commit + xact_rollback as n from pg_stat_database where datname = '${database}'`,
    );
    return Number(row?.['n']);
  };
  // The server counts transactions when it is idle for a moment.
  const settledAt = async (): Promise<number> => {
    let [before, now] = [-1, await statements()];
    while (before !== now) {
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      [before, now] = [now, await statements()];
    }
    return now;
  };
  const counted = async (run: () => Promise<unknown>): Promise<number> => {
    const before = await settledAt();
    await run();
    return (await settledAt()) - before;
  };
  const times = 20;
  const alternately = async (...all: readonly RawClient[]): Promise<void> => {
    for (let round = 0; round < times; round += 1) for (const one of all) await say(one, Q('select 1'));
  };
  const plainOnes = await counted(() => alternately(plain, more));
  await say(mine, Q("set work_mem = 4711; set my.a = 'x'; set search_path = two"));
  const alone = await counted(() => alternately(mine));
  const changing = await counted(() => alternately(mine, plain));
  // The counting itself is a few transactions.
  const slack = 12;
  expect(plainOnes).toBeLessThan(2 * times + slack);
  expect(alone).toBeLessThan(times + slack);
  expect(changing).toBeLessThan(4 * times + slack);
}, 60_000);

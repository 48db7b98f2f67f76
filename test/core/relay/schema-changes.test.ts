/**
 * A text that is parsed after DDL, in transaction mode, where connections have had it prepared before: its client reads what it reads on
 * a PostgreSQL connection of its own. At once after DDL that passed the gateway, and after `reparseAfter` where it did not.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { SessionCounters } from '../../../core/relay/requests/outstanding-requests.ts';
import { machineClock } from '../../../core/upstream/clock.ts';
import { schemaChangesOf } from '../../../core/upstream/schema-changes.ts';
import { B, D, E, P, Q, S } from '../../support/frames.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { direct, openAs, relayed } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { typesOf } from '../../support/sequences.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSession, SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let shared: SharedSessions;
const clients: RawClient[] = [];

beforeAll(async () => (database = await freshDatabase()));
/** The machine's clock, put forward: it never goes back. */
const now = machineClock.now.bind(machineClock);
let ahead = 0;
const wait = (ms: number): void => void (ahead += ms);

beforeEach(async () => {
  vi.spyOn(machineClock, 'now').mockImplementation(() => now() + ahead);
  await postgres.sql(
    'drop schema if exists first cascade; drop schema public cascade; create schema public; grant all on schema public to writer',
    database,
  );
  // A session that has made a table keeps its connection.
  shared = sharedSessions(postgres, database, 3);
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const client of clients.splice(0)) client.close();
  await shared.close();
});

/** Sends a step, and tells its answers: columns by name and type, errors by their code. */
async function said(client: RawClient, ...messages: readonly Buffer[]): Promise<string[]> {
  const step = Buffer.concat(messages);
  const before = client.messages.length;
  const asked = typesOf(step).match(/[QS]/g)?.length ?? 0;
  client.send(step);
  const answers = () => client.messages.slice(before);
  const done = (): boolean => answers().filter(({ type }) => type === 'Z').length === asked;
  await expect.poll(done, { interval: 2 }).toBe(true);
  return answers()
    .filter(({ type }) => !'NS'.includes(type))
    .map(({ type, body }) => {
      if (type === 'E') return `E ${/\0C(.{5})/.exec(body.toString('latin1'))?.[1] ?? ''}`;
      return `${type} ${type === 'T' ? columns(body) : body.toString('latin1')}`;
    });
}

function columns(body: Buffer): string {
  const told: string[] = [];
  for (let at = 2; at < body.length;) {
    const end = body.indexOf(0, at);
    told.push(`${body.toString('latin1', at, end)}:${body.readUInt32BE(end + 7)}`);
    at = end + 19;
  }
  return told.join(' ');
}

async function plain(): Promise<RawClient> {
  const client = direct(await openAs(postgres, database, 'writer'));
  clients.push(client);
  return client;
}

/** What a client says that parses the text now. */
const parsed = (sql: string, values: readonly string[]): Buffer[] => [
  P(sql, `n${(number += 1)}`),
  D(`n${number}`),
  S,
  B(`n${number}`, ...values),
  E,
  S,
];
let number = 0;

/** The same of two sessions at once, so that it runs on both connections. */
async function everywhere(steps: readonly Buffer[], sessions: readonly SharedSession[]): Promise<string[][]> {
  for (const session of sessions) await said(session, Q('begin'));
  const answers = [];
  for (const session of sessions) answers.push(await said(session, ...steps));
  for (const session of sessions) await said(session, Q('rollback'));
  return answers;
}

const CASES: Record<string, { made: string; sql: string; values?: readonly string[]; change: string }> = {
  'int becomes bigint under a parameter': {
    made: 'create table t (a int)',
    sql: 'insert into t values ($1) returning a',
    values: ['7000000000'],
    change: 'alter table t alter column a type bigint',
  },
  'timestamp becomes timestamptz under a parameter': {
    made: 'create table t (a timestamp)',
    sql: 'insert into t values ($1)',
    values: ['2020-01-01 00:00+05'],
    change: 'alter table t alter column a type timestamptz',
  },
  'columns are swapped by drop and create': {
    made: 'create table t (a int, b int); insert into t values (1, 2)',
    sql: 'select * from t',
    change: 'drop table t; create table t (b int, a int); insert into t values (20, 10)',
  },
  'a column is added': {
    made: 'create table t (a int); insert into t values (1)',
    sql: 'select * from t',
    change: "alter table t add column b text default 'x'",
  },
  'a type is made again': {
    made: "create type e as enum ('x'); create table t (a e)",
    sql: 'insert into t values ($1) returning a',
    values: ['y'],
    change: "drop table t; drop type e; create type e as enum ('y'); create table t (a e)",
  },
  'a function is overloaded': {
    made: "create function f(bigint) returns text language sql immutable as $$ select 'bigint' $$",
    sql: 'select f(1)',
    change: "create function f(int) returns text language sql immutable as $$ select 'int' $$",
  },
  'a table of a schema in front hides another': {
    made: "create table t (a text); insert into t values ('public')",
    sql: 'select a from t',
    change: "create table first.t (a text); insert into first.t values ('first')",
  },
  'a table of a schema in front is made of a query': {
    made: "create table t (a text); insert into t values ('public')",
    sql: 'select a from t',
    change: "create table first.t as select 'first' as a",
  },
  'the role may look into the schema in front': {
    made: `create table t (a text); insert into t values ('public');
      create table first.t (a int); insert into first.t values (1); revoke usage on schema first from writer`,
    sql: 'select a from t',
    change: 'grant usage on schema first to writer',
  },
  'the role may not look into the schema in front any more': {
    made: `create table t (a text); insert into t values ('public');
      create table first.t (a int); insert into first.t values (1)`,
    sql: 'select a from t',
    change: 'revoke usage on schema first from writer',
  },
  'a view is replaced': {
    made: 'create view v as select 1 as a',
    sql: 'select * from v',
    change: "create or replace view v as select 2 as a, 'x' as b",
  },
};

/** A table `t` is looked for in `first` in front of `public`. */
async function path(): Promise<void> {
  await postgres.sql(
    `create schema first authorization writer; alter role writer in database ${database} set search_path to first, public; alter role writer in database ${database} set timezone to 'UTC'`,
    database,
  );
}

/** Two sessions whose connections both have the text prepared, and the answers of a client that has just come, directly. */
async function stage({ made, sql, values = [] }: (typeof CASES)[string]) {
  await path();
  await postgres.sql(`set role writer; set search_path to public; ${made}`, database);
  const sessions = [await shared.connect(), await shared.connect()];
  const old = await everywhere(parsed(sql, values), sessions);
  expect(old[0]).toEqual(old[1]);
  const expected = async (): Promise<string[]> => {
    const own = await plain();
    await said(own, Q('begin'));
    const answers = await said(own, ...parsed(sql, values));
    await said(own, Q('rollback'));
    return answers;
  };
  expect(old[0]).toEqual(await expected());
  return { sessions, expected, old: old[0] ?? [] };
}

describe.each(Object.entries(CASES))('%s', (_, specimen) => {
  const { sql, values = [], change } = specimen;
  const direct = /create table first.t as/.test(change);

  test.each(['Query', 'transaction', 'Parse', 'another entry', 'session mode'])(
    'by %s through the gateway: seen at once, on every connection',
    async (how) => {
      const { sessions, expected, old } = await stage(specimen);
      const other = await shared.connect({ fingerprint: 'other' });
      const elsewhere = sharedSessions(postgres, database, 1);
      if (how === 'Query') await said(other, Q(change));
      if (how === 'another entry') await said(await elsewhere.connect(), Q(change));
      if (how === 'Parse') for (const one of change.split(/;(?! \$)/)) await said(other, P(one), B(''), E, S);
      if (how === 'session mode') {
        const session = await relayed(await openAs(postgres, database, 'writer'), {
          schema: schemaChangesOf(database),
        });
        clients.push(session);
        // No text is read there, and the tag is that of a SELECT.
        await said(session, Q(direct ? `${change}; create index on first.t (a)` : change));
      }
      if (how === 'transaction') {
        await said(other, Q('begin'), Q(change));
        // Neither the one that has changed it, nor one that does not see it yet, leaves to others what it reads now.
        if (change.startsWith('create') && !/replace/.test(change)) {
          expect((await everywhere(parsed(sql, values), sessions.slice(0, 1)))[0]).toEqual(old);
        }
        await said(other, ...parsed(sql, values));
        await said(other, Q('commit'));
      }
      const now = await expected();
      expect(now).not.toEqual(old);
      expect(await everywhere(parsed(sql, values), sessions)).toEqual([now, now]);
      const late = [await shared.connect(), await shared.connect()];
      expect(await everywhere(parsed(sql, values), late)).toEqual([now, now]);
      await elsewhere.close();
    },
  );

  test('in a DO block, or rolled back', async () => {
    const { sessions, expected, old } = await stage(specimen);
    const other = await shared.connect({ fingerprint: 'other' });
    const block = `do $do$ begin execute $sql$ ${change} $sql$; end $do$`;
    await said(other, Q(`begin; ${change}`));
    await said(other, ...parsed(sql, values));
    await said(other, Q('rollback'));
    expect(await everywhere(parsed(sql, values), sessions)).toEqual([old, old]);
    await said(other, Q(block));
    const now = await expected();
    expect(await everywhere(parsed(sql, values), sessions)).toEqual([now, now]);
  });

  test('past the gateway: seen after 30 seconds, on every connection', async () => {
    const { sessions, expected } = await stage(specimen);
    await postgres.sql(`set role writer; set search_path to public; ${change}`, database);
    const now = await expected();
    wait(30_000);
    expect(await everywhere(parsed(sql, values), sessions)).toEqual([now, now]);
  });
});

test('a text is parsed once per connection and 30 seconds, however many clients parse it', async () => {
  const counters = new SessionCounters();
  const [one, two] = [
    await shared.connect({ options: { counters } }),
    await shared.connect({ options: { counters } }),
  ];
  for (let window = 0; window < 3; window += 1) {
    if (window > 0) wait(30_000);
    const before = counters.serverParses;
    for (let i = 0; i < 5; i += 1) await everywhere(parsed('select 1', []), [one, two]);
    expect(counters.serverParses - before).toBe(2);
  }
  expect(counters.clientParses).toBe(30);
});

test('a name from before keeps its statement while its connection has it, as on a connection of its own', async () => {
  const made = 'create table t (a int); insert into t values (1)';
  await postgres.sql(`set role writer; ${made}`, database);
  const own = await plain();
  const through = await shared.connect();
  const use = [B('s', '1'), E, S];
  for (const client of [own, through])
    await said(client, P('insert into t values ($1) returning 1', 's'), D('s'), S);
  const change = Q('alter table t alter column a type bigint');
  await said(await shared.connect(), change);
  expect(await said(through, ...use)).toEqual(await said(own, ...use));
  const big = [B('s', '7000000000'), E, S];
  expect(await said(through, ...big)).toEqual(await said(own, ...big));
});

/**
 * Statements whose objects change after they were prepared, in transaction mode: each client reads what it would read on a PostgreSQL
 * connection of its own, or an error of PostgreSQL's, and never other rows.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { B, C, D, E, P as parse, Q, S } from '../../support/frames.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { direct, openAs } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { typesOf } from '../../support/sequences.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSession, SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let shared: SharedSessions;
let plain: RawClient;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql('grant create on schema public to writer', database);
});
beforeEach(async () => {
  await postgres.sql(
    'drop schema public cascade; create schema public; grant all on schema public to writer',
    database,
  );
  shared = sharedSessions(postgres, database, 2);
  plain = direct(await openAs(postgres, database, 'writer'));
});
afterEach(async () => {
  plain.close();
  await shared.close();
});

const P = (sql: string, name = 's'): Buffer => parse(sql, name);

/** Sends a step, and tells its answers: columns by name and type, rows by their values, errors by code, text and routine. */
async function said(client: RawClient, ...messages: readonly Buffer[]): Promise<string[]> {
  const step = Buffer.concat(messages);
  const before = client.messages.length;
  const asked = typesOf(step).match(/[QS]/g)?.length ?? 0;
  client.send(step);
  const answers = () => client.messages.slice(before);
  const done = (): boolean => client.closed || answers().filter(({ type }) => type === 'Z').length === asked;
  await expect.poll(done, { interval: 2 }).toBe(true);
  return answers().flatMap(({ type, body }, i) => {
    const text = body.toString('latin1');
    if (type === 'E') return `E ${(text.match(/(?<=^|\0)(?:[CM]|RReval)[^\0]*/g) ?? []).join(' ')}`;
    // PostgreSQL tells the parameters before it finds out that the result has changed.
    if (type === 't' && answers()[i + 1]?.type === 'E') return [];
    return `${type} ${type === 'T' ? columns(body) : text}`;
  });
}

/** Which table a column is of differs between two tables of one name. */
function columns(body: Buffer): string {
  const told: string[] = [];
  for (let at = 2; at < body.length;) {
    const end = body.indexOf(0, at);
    told.push(
      `${body.toString('latin1', at, end)}:${body.readUInt32BE(end + 7)}:${body.readInt32BE(end + 13)}`,
    );
    at = end + 19;
  }
  return told.join(' ');
}

/** Makes the session's next transaction run on the other connection. */
async function elsewhere(through: SharedSession): Promise<void> {
  const other = await shared.connect();
  const pid = async (client: RawClient): Promise<string> =>
    (await said(client, Q('select pg_backend_pid()'))).find((line) => line.startsWith('D')) ?? '';
  const before = await pid(through);
  const holders = [other, await shared.connect()];
  for (const holder of holders) {
    await said(holder, Q('begin'));
    if ((await pid(holder)) === before) break;
    await said(holder, Q('commit'));
  }
  expect(await pid(through)).not.toBe(before);
}

interface Case {
  readonly made: string;
  readonly sql: string;
  readonly values?: readonly string[];
  readonly change: string;
  /** The code of what the client reads then; absent: no error. */
  readonly error?: string;
}

const CASES: Record<string, Case> = {
  'columns swapped by drop and create': {
    made: 'create table t (a int, b int); insert into t values (1, 2)',
    sql: 'select * from t',
    change: 'drop table t; create table t (b int, a int); insert into t values (20, 10)',
    error: '0A000',
  },
  'a column is added': {
    made: 'create table t (a int); insert into t values (1)',
    sql: 'select * from t',
    change: "alter table t add column b text default 'x'",
    error: '0A000',
  },
  'int becomes bigint in a result': {
    made: 'create table t (a int); insert into t values (1)',
    sql: 'select a from t where a = $1',
    values: ['1'],
    change: 'alter table t alter column a type bigint',
    error: '0A000',
  },
  'int becomes bigint under a parameter': {
    made: 'create table t (a int)',
    sql: 'insert into t values ($1)',
    values: ['7'],
    change: 'alter table t alter column a type bigint',
  },
  'int becomes bigint under a parameter that int cannot hold': {
    made: 'create table t (a int)',
    sql: 'insert into t values ($1)',
    values: ['7000000000'],
    change: 'alter table t alter column a type bigint',
    error: '22003',
  },
  'a column has another name': {
    made: 'create table t (a int)',
    sql: 'select * from t',
    change: 'alter table t rename column a to b',
    error: '0A000',
  },
  'another length': {
    made: 'create table t (a varchar(10))',
    sql: 'select * from t',
    change: 'alter table t alter column a type varchar(20)',
    error: '0A000',
  },
  'the same table is made again': {
    made: 'create table t (a int, b text); insert into t values (1)',
    sql: 'select * from t where a = $1',
    values: ['1'],
    change: "drop table t; create table t (a int, b text); insert into t values (1, 'new')",
  },
  'the table is gone': {
    made: 'create table t (a int)',
    sql: 'select * from t',
    change: 'drop table t',
    error: '42P01',
  },
  'a type is made again': {
    made: "create type e as enum ('x'); create table t (a e); insert into t values ('x')",
    sql: 'select * from t',
    change: "drop table t; drop type e; create type e as enum ('x'); create table t (a e)",
    error: '0A000',
  },
  'nothing changes': {
    made: 'create table t (a int, b timestamptz, c numeric(5,2)[]); insert into t values (1)',
    sql: "select a, b, c, $1 || 'x', coalesce($2, 1) from t where b is null and c is null or b < $3",
    values: ['1', '2', '2020-01-01'],
    change: 'create table another (a int)',
  },
};

describe.each(Object.entries(CASES))('%s', (_, { made, sql, values = [], change, error }) => {
  const use = (name: string): Buffer[] => [B(name, ...values), E, S];
  /** Makes it, and what a client does before and after the change. */
  async function compare(
    before: readonly Buffer[],
    after: readonly (readonly Buffer[])[],
    away: boolean,
  ): Promise<void> {
    await said(plain, Q(made));
    const through = await shared.connect();
    expect(await said(through, ...before)).toEqual(await said(plain, ...before));
    if (away) await elsewhere(through);
    await postgres.sql(`set role writer; ${change}`, database);
    let codes = '';
    for (const [i, step] of after.entries()) {
      const expected = await said(plain, ...step);
      expect(await said(through, ...step), `step ${i}`).toEqual(expected);
      codes ||= expected.find((line) => line.startsWith('E'))?.slice(3, 8) ?? '';
    }
    expect(codes).toBe(error ?? '');
  }

  test.each([false, true])('a named statement, on another connection: %s', (away) =>
    compare(
      [P(sql), D('s'), S],
      [
        use('s'),
        use('s'),
        [D('s'), S],
        [Q('select 1')],
        [C('s'), P('select 2'), B('s'), E, S],
        [Q('deallocate s')],
        [P('select 3'), B('s'), E, S],
      ],
      away,
    ),
  );

  test('a named statement that only its Bind has told of, behind another in one write', () =>
    compare(
      [P(sql), P('select 1', 'other'), S],
      [[B('other'), E, ...use('s')], [B('other'), E, S], use('s')],
      true,
    ));

  test('the unnamed statement, described in a transaction of its own', () =>
    compare([P(sql, ''), D(''), S], [use(''), use(''), [D(''), S], [P('select 1', ''), B(''), E, S]], false));

  test('in a transaction, which fails as on a connection of its own', () =>
    compare(
      [P(sql), D('s'), S],
      [[Q('begin')], use('s'), use('s'), [Q('select 1')], [Q('rollback')], use('s'), [C('s'), S]],
      true,
    ));
});

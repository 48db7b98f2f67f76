/**
 * A COPY FROM STDIN that fails with Syncs in its stream, and what a client pipelines behind it: each sequence is sent to PostgreSQL
 * directly, through a relay with one server connection, and through one with another for each transaction.
 */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { direct, frame, openAs, relayed } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    `create table t (n int); create table td (n int); create view v as select n from t;
    create table checked (n int check (n < 5)); grant all on t, td, v, checked to writer`,
    database,
  );
});
beforeEach(() => postgres.sql('truncate t, td, checked', database));

const ALL = Buffer.from([0, 0, 0, 0]);
const Q = (sql: string): Buffer => frame('Q', sql);
const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const B = (name = ''): Buffer => frame('B', '', name, 0, 0, 0);
const D = (name: string): Buffer => frame('D', Buffer.from('S'), name);
const E = frame('E', '', ALL);
const C = (kind: 'P' | 'S', name: string): Buffer => frame('C', Buffer.from(kind), name);
const S = frame('S');
const H = frame('H');
const d = (text: string): Buffer => frame('d', Buffer.from(text));
const c = frame('c');
const f = frame('f', 'dropped');
/** A call of no function. */
const F = frame('F', Buffer.alloc(10));
const run = (sql: string): Buffer => Buffer.concat([P(sql), B(), E]);

const PATIENT = { timeout: 30_000 };

/** A flight is one write; the next one follows a moment later. */
type Flights = readonly (readonly Buffer[])[];

const SEQUENCES: Record<string, Flights> = {
  'a FunctionCall that ends a COPY, and a name whose Parse that drops': [
    [
      P('copy t from stdin'),
      B(),
      E,
      d('1\n'),
      S,
      d('bad\n'),
      F,
      P('copy v from stdin'),
      E,
      P('select 1', 's'),
    ],
    [S, B('none'), P('select 2', 'n'), S, P('select 3', 's')],
    [S, B('s'), E, S],
  ],
  'a dropped copy_in, and the next statement in the same flight': [
    [run('copy t from stdin'), S, f, S, P('select 1', 't'), S, B('t'), E, S],
  ],
  'a dropped copy_in, and a name closed in the same flight': [
    [P('select 1', 's'), S],
    [run('copy t from stdin'), S, f, S, C('S', 's'), S, P('select 2', 's'), S, B('s'), E, S],
  ],
  'a dropped copy_in, and a Parse of what is prepared already': [
    [P('select 3', 'one'), S, B('one'), E, S],
    [run('copy t from stdin'), S, f, S, P('select 3', 'two'), B('two'), E, S],
  ],
  'a COPY that fails by itself, a Close of the unnamed statement that is skipped, and that statement': [
    [run('copy v from stdin'), C('S', ''), S, D(''), S],
  ],
  'the same, and the statement a moment later': [
    [run('copy v from stdin'), C('S', ''), S],
    [D(''), S],
  ],
  'tokio-postgres drops a copy_in while others wait for their turn': [
    [P('copy t from stdin', 's0'), D('s0'), S],
    [B('s0'), E, S],
    [d('1\n'), f, S, P('select $1::int', 's1'), D('s1'), S, C('S', 's0'), S],
    [frame('B', '', 's1', 0, 1, ALL, 0, 0), E, S],
  ],
  'tokio-postgres drops a copy_in whose first row was bad': [
    [P('copy t from stdin', 's0'), D('s0'), S],
    [B('s0'), E, S, d('seven\n')],
    [d('1\n'), f, S, P('select 1', 's1'), D('s1'), S, B('s1'), E, S],
  ],
  'libpq ends a COPY that has failed at a constraint': [
    [P('copy checked from stdin'), B(), frame('D', Buffer.from('P'), ''), E, S],
    [d('1\n'), d('7\n'), c, S, P('select 1', 'next'), S, B('next'), E, S],
  ],
  'a rollback, a Close and a named Parse behind rows that were bad': [
    [
      run('copy t from stdin'),
      S,
      d('abc\n'),
      d('abc\n'),
      S,
      S,
      Q('rollback'),
      C('P', ''),
      P('select 4', 's1'),
    ],
    [C('S', 's1'), H],
    [S, P('select 5', 's1'), B('s1'), E, S],
  ],
  'a COPY to a view, and another COPY in a Query that fails too': [
    [run('copy v from stdin'), S, d('1\n'), c, S, Q('copy t from stdin; select 1/0'), d('abc\n')],
    [c, run('begin'), S, P('select 6', 's1'), S, B('s1'), E, S, Q('rollback')],
  ],
  'a COPY to a view, and a name that is prepared twice': [
    [run('copy v from stdin'), S, d('1\n'), d('abc\n'), f, S, P('copy td from stdin', 's1'), P('', 's1'), S],
    [B('s1'), E, d('1\n'), c, S],
  ],
  'a COPY in a transaction, whose end is refused': [
    [Q('begin'), run('copy t from stdin'), S, d('abc\n'), c, S, P('select 7', 's'), S, Q('commit')],
    [P('select 7', 's'), S, B('s'), E, S],
  ],
  'many Syncs in the COPY, and as many behind it': [
    [run('copy v from stdin'), S, S, S, S, S, c, S, S, S, S, P('select 8', 's'), S, S, B('s'), E, S],
  ],
  'the unnamed statement stays dropped behind a COPY in a Query that failed': [
    [P('select 9'), S],
    [Q('copy t from stdin'), S, d('abc\n'), c, S, B(), E, S],
  ],
  'COPYs that fail one behind the other, each with Syncs in its stream': [
    [run('copy t from stdin'), S, d('abc\n'), S, f, c, run('copy t from stdin'), d('1\n'), S, f, c],
    [d('abc\n'), run('copy v from stdin'), S, S, d('1\n'), P('select 12', 's'), B('s'), E, S],
  ],
  'what is skipped up to a Sync if the COPY read the one before': [
    [
      run('copy t from stdin'),
      S,
      d('abc\n'),
      c,
      P('select 10', 's'),
      S,
      S,
      P('select 11', 's'),
      S,
      B('s'),
      E,
      S,
    ],
  ],
};

/** Errors by their code: texts name what a server has, under names of its own. */
function told({ messages }: RawClient): string[] {
  return messages
    .filter(({ type }) => !'SN'.includes(type))
    .map(({ type, body }) => {
      const text = body.toString('latin1').replaceAll('\0', '~');
      return type === 'E' ? `E ${/~C([^~]{5})~/.exec(`~${text}`)?.[1] ?? text}` : `${type} ${text}`;
    });
}

/** The answers to all flights, and to what an ordinary client asks behind them. When they are sent makes no difference to PostgreSQL. */
async function play(client: RawClient, flights: Flights, pause = 20): Promise<string[]> {
  for (const flight of flights) {
    client.send(...flight);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  client.send(Q('rollback'), Q("select 'goes on'"));
  const last = (): string => told(client).slice(-3).join(' ');
  await expect.poll(() => client.closed || /^D .*goes on C SELECT 1~ Z I$/.test(last()), PATIENT).toBe(true);
  return told(client);
}

/**
 * A session ends with 08P01 where the gateway needs a message of its own while it is not known which answers are outstanding: a machine
 * that is busy takes longer than the pause to answer, and then the pause is too short.
 */
async function inTransactions(flights: Flights, expected: readonly string[]): Promise<string[]> {
  let got: string[] = [];
  for (const pause of [20, 200, 2_000]) {
    await postgres.sql('truncate t, td, checked', database);
    const shared = sharedSessions(postgres, database, 1);
    const client = await shared.connect();
    got = await play(client, flights, pause);
    await expect.poll(() => client.holds, PATIENT).toBe(false);
    await shared.close();
    if (got.at(-1) !== 'E 08P01') return got;
    expect(got.slice(0, -1)).toEqual(expected.slice(0, got.length - 1));
  }
  return got;
}

describe.each(Object.entries(SEQUENCES))('%s', (_, flights) => {
  const pieces = (list: Flights): Flights => list.flatMap((flight) => flight.map((message) => [message]));

  test.each([
    ['in flights', flights],
    ['message by message', pieces(flights)],
  ])('gets the answers of PostgreSQL in session and transaction mode, %s', async (__, sent) => {
    const plain = direct(await openAs(postgres, database, 'writer'));
    const expected = await play(plain, sent);
    plain.close();
    await postgres.sql('truncate t, td, checked', database);
    const session = await relayed(await openAs(postgres, database, 'writer'));
    expect(await play(session, sent)).toEqual(expected);
    session.close();
    await session.relay.done;
    expect(await inTransactions(sent, expected)).toEqual(expected);
  });
});

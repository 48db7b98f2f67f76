/**
 * What observers are told of pipelines, batches and their Syncs, compared with what was recorded when each statement still
 * had an object and functions of its own.
 */
import { beforeAll, expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { RelayOptions } from '../../../core/relay/relay-options.ts';
import type { StatementEnd } from '../../../core/relay/statements/statement-observer.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame, openAs, relayed } from '../../support/raw.ts';

const postgres = sharedPostgres();
let database: string;
beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    `create table t (n int); create table d (n int unique deferrable initially deferred);
     create table slow (n int);
     create function nap() returns trigger language plpgsql as 'begin perform pg_sleep(60); return null; end';
     create constraint trigger later after insert on slow deferrable initially deferred for each row execute function nap();
     grant all on t, d, slow to writer`,
    database,
  );
});

const parse = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const bind = (name = '', portal = ''): Buffer => frame('B', portal, name, 0, 0, 0);
const execute = (portal = '', most = 0): Buffer => frame('E', portal, Buffer.from([0, 0, 0, most]));
const describe = frame('D', Buffer.from('P'), '');
const [sync, flush, done] = [frame('S'), frame('H'), frame('c')];
const data = (text: string): Buffer => frame('d', Buffer.from(text));
const query = (sql: string): Buffer => frame('Q', sql);
const run = (sql: string): Buffer[] => [parse(sql), bind(), describe, execute()];
const twice = 'insert into d values (1), (1)';

interface Pipeline {
  readonly name: string;
  readonly flights: readonly (readonly Buffer[])[];
  /** Type bytes of all answers, flight by flight. */
  readonly answers: readonly string[];
  readonly events: readonly string[];
  readonly options?: Partial<RelayOptions>;
  /** The session is closed behind the last flight. */
  readonly leaves?: true;
}

const refusing: Partial<RelayOptions> = {
  query: (statement) => {
    if ('sql' in statement && statement.sql.includes('forbidden'))
      throw new GatewayError('insufficient_privilege', 'no');
    return statement;
  },
};

const PIPELINES: readonly Pipeline[] = [
  {
    name: 'batches in one flight, of which one cannot commit',
    flights: [
      [...run('select 1'), sync, ...run(twice), sync, sync, ...run('select 2'), sync, query('select 3')],
    ],
    answers: ['12TDCZ12nCEZZ12TDCZTDCZ'],
    events: [
      "3 execute 'select 1' [SELECT 1] 1 10 26",
      "6 execute 'insert into d values (1), (1)' [INSERT 0 2] 2 10 16",
      "6 sync 'insert into d values (1), (1)' [] 0 5 23505",
      "9 execute 'select 2' [SELECT 1] 1 10 26",
      "10 query 'select 3' [SELECT 1] 1 14 66",
    ],
  },
  {
    name: 'a Sync that comes late, behind a Flush',
    flights: [[...run(twice), flush], [sync], [parse('select 1'), sync]],
    answers: ['12nC', 'EZ', '1Z'],
    events: [
      "3 execute 'insert into d values (1), (1)' [INSERT 0 2] 2 10 16",
      "3 sync 'insert into d values (1), (1)' [] 0 5 23505",
    ],
  },
  {
    name: 'several Executes under one Sync',
    flights: [[...run('select 1'), ...run(twice), ...run('select 2'), sync]],
    answers: ['12TDC12nC12TDCEZ'],
    events: [
      "3 execute 'select 1' [SELECT 1] 1 10 26",
      "6 execute 'insert into d values (1), (1)' [INSERT 0 2] 2 10 16",
      "9 execute 'select 2' [SELECT 1] 1 10 26",
      "9 sync 'select 2' [] 0 5 23505",
    ],
  },
  {
    name: 'an error in the middle of a batch, and the batch behind it',
    flights: [[...run('select 1'), ...run('select 1/0'), ...run('select 2'), sync, ...run('select 3'), sync]],
    answers: ['12TDC1EZ12TDCZ'],
    events: [
      "3 execute 'select 1' [SELECT 1] 1 10 26",
      "5 bind 'select 1/0' [] 0 13 22012",
      "12 execute 'select 3' [SELECT 1] 1 10 26",
    ],
  },
  {
    name: 'errors of Parse and Bind',
    flights: [[...run('nonsense'), sync, bind('nobody'), execute(), sync, ...run('select 1'), sync]],
    answers: ['EZEZ12TDCZ'],
    events: [
      "1 parse 'nonsense' [] 0 17 42601",
      "4 bind '' [] 0 19 26000",
      "8 execute 'select 1' [SELECT 1] 1 10 26",
    ],
  },
  {
    name: 'portals with names, fetched in parts, closed, and used again',
    flights: [
      [query('begin'), parse('select generate_series(1, 3)', 's'), bind('s', 'p'), execute('p', 2), sync],
      [execute('p'), frame('C', Buffer.from('P'), 'p'), execute('p'), sync],
      [query('rollback'), bind('s'), execute(), sync],
    ],
    answers: ['CZ12DDsZ', 'DC3EZ', 'CZ2DDDCZ'],
    events: [
      "1 query 'begin' [BEGIN] 0 11 17",
      "4 execute 'select generate_series(1, 3)' [] 2 11 29",
      "5 execute 'select generate_series(1, 3)' [SELECT 1] 1 11 26",
      "6 execute '' [] 0 11 34000",
      "7 query 'rollback' [ROLLBACK] 0 14 20",
      "9 execute 'select generate_series(1, 3)' [SELECT 3] 3 10 50",
    ],
  },
  {
    name: 'Queries with several statements, and with none',
    flights: [
      [query('select 1; insert into t values (1), (2); select 1/0; select 4'), query(''), query('select 5')],
    ],
    answers: ['TDCCEZIZTDCZ'],
    events: [
      "1 query 'select 1; insert into t values (1), (2); select 1/0; select 4' [SELECT 1,INSERT 0 2] 3 67 22012",
      "2 query '' [] 0 6 11",
      "3 query 'select 5' [SELECT 1] 1 14 66",
    ],
  },
  {
    name: 'COPY by Query and in a batch with Syncs inside',
    flights: [
      [query('copy t from stdin'), data('1\n2\n'), done],
      [...run('copy t from stdin'), sync, data('3\n'), done, sync, query('select 1')],
      [...run('copy d from stdin'), sync, data('7\n7\n'), done, sync],
    ],
    answers: ['GCZ', '12nGCZTDCZ', '12nGCEZ'],
    events: [
      "1 query 'copy t from stdin' [COPY 2] 2 32 28",
      "4 execute 'copy t from stdin' [COPY 1] 1 10 22",
      "5 query 'select 1' [SELECT 1] 1 14 66",
      "8 execute 'copy d from stdin' [COPY 2] 2 10 22",
      "8 sync 'copy d from stdin' [] 0 5 23505",
    ],
  },
  {
    name: 'refusals of the gateway at rest, in a batch, and in a transaction',
    flights: [
      [query('select forbidden'), ...run('select forbidden'), sync, ...run('select 1'), sync],
      [query('begin'), ...run('select 2'), ...run('select forbidden'), sync, query('rollback')],
    ],
    answers: ['EZEZ12TDCZ', 'CZ12TDCEZCZ'],
    events: [
      "1 query 'select forbidden' [] 0 0 42501 insufficient_privilege",
      "2 parse 'select forbidden' [] 0 0 42501 insufficient_privilege",
      "7 execute 'select 1' [SELECT 1] 1 10 26",
      "8 query 'begin' [BEGIN] 0 11 17",
      "11 execute 'select 2' [SELECT 1] 1 10 26",
      "12 parse 'select forbidden' [] 0 0 42501 insufficient_privilege",
      "15 query 'rollback' [ROLLBACK] 0 14 20",
    ],
    options: refusing,
  },
  {
    name: 'a session that ends while its Sync commits',
    flights: [
      [...run('insert into slow values (1)'), flush],
      [sync, ...run('select 1'), sync],
    ],
    answers: ['12nC', ''],
    events: [
      "3 execute 'insert into slow values (1)' [INSERT 0 1] 1 10 16",
      "3 sync 'insert into slow values (1)' [] 0 5 08006",
      "6 execute 'select 1' [] 0 10 08006",
    ],
    leaves: true,
  },
  {
    name: 'a session that ends within a pipeline',
    flights: [[...run('select 1'), sync, ...run('select pg_sleep(60)'), sync, ...run('select 2'), sync]],
    answers: ['12TDCZ'],
    events: [
      "3 execute 'select 1' [SELECT 1] 1 10 26",
      "6 execute 'select pg_sleep(60)' [] 0 10 08006",
      "9 execute 'select 2' [] 0 10 08006",
    ],
    leaves: true,
  },
];

const told = ({ id, kind, sql, tags, rows, bytesIn, bytesOut, sqlstate, error }: StatementEnd): string =>
  // How long an error of the server is depends on its version.
  [id, kind, `'${sql}'`, `[${tags.join()}]`, rows, bytesIn, sqlstate ?? bytesOut, error?.code]
    .filter((one) => one !== undefined)
    .join(' ');

test.each(PIPELINES)('$name', async ({ flights, answers, events, options, leaves }) => {
  const ended: string[] = [];
  const statement = (end: StatementEnd): void => void ended.push(told(end));
  const server = await openAs(postgres, database, 'writer');
  const client = await relayed(server, { statement, ...options });
  let all = '';
  for (const [i, flight] of flights.entries()) {
    client.send(...flight);
    all += answers[i] ?? '';
    await expect.poll(() => client.messages.map(({ type }) => type).join('')).toBe(all);
  }
  if (leaves) await expect.poll(() => client.relay.state).toBe('active');
  client.close();
  await client.relay.done;
  expect(ended).toEqual(events);
});

/** What the text of a statement leaves on a shared server connection although its tag is that of a SELECT: the next session meets none of it. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let one: SharedSessions;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    `create schema two; grant usage on schema two to writer; create sequence counted; grant usage on counted to writer;
     create table t as select 1 as n; create table two.t as select 'two'::text as n;
     create table u as select 1 as n; create table two.u as select 2 as n; grant select on t, two.t, u, two.u to writer`,
    database,
  );
});
beforeEach(() => void (one = sharedSessions(postgres, database, 1)));
afterEach(() => one.close());

const ALL = Buffer.from([0, 0, 0, 0]);
const Q = (sql: string): Buffer => frame('Q', sql);
const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const B = (name = ''): Buffer => frame('B', '', name, 0, 0, 0);
const E = frame('E', '', ALL);
const S = frame('S');
/** A parameter's value with its length. */
const text = (value: string): Buffer =>
  Buffer.concat([Buffer.from(Uint32Array.of(value.length).buffer).swap32(), Buffer.from(value)]);
/** set_config(text, text, boolean) by its OID, which is 2078 in every version. */
const F = (...values: readonly string[]): Buffer =>
  frame('F', Buffer.from(Uint32Array.of(2078).buffer).swap32(), 0, values.length, ...values.map(text), 0);

const values = ({ messages }: RawClient): string[] =>
  messages.filter(({ type }) => type === 'D').map(({ body }) => body.subarray(6).toString());
const errors = ({ messages }: RawClient): number => messages.filter(({ type }) => type === 'E').length;

async function say(client: RawClient, ...messages: readonly Buffer[]): Promise<void> {
  const asked = messages.filter((bytes) => 'QSF'.includes(String.fromCharCode(bytes[0] ?? 0))).length;
  const readies = (): number => client.messages.filter(({ type }) => type === 'Z').length;
  const before = readies();
  client.send(...messages);
  await expect.poll(() => client.closed || readies() >= before + asked).toBe(true);
}

const pid = async (): Promise<unknown> =>
  (
    await postgres.sql(
      `select pid from pg_stat_activity where datname = '${database}' and usename = 'writer'`,
    )
  ).map((row) => row['pid']);

describe('a setting that one session leaves is met by no other of the same identity', () => {
  const SHOWN = "select coalesce(nullif(current_setting('my.mark', true), ''), 'none')";

  test.each<[string, readonly Buffer[]]>([
    ['by a Query', [Q("select set_config('my.mark', 'left', false)")]],
    [
      'in capitals, and among others',
      [Q("select 1; SELECT Pg_Catalog.SET_CONFIG('my.mark', 'left', false)")],
    ],
    ['by an unnamed statement', [P("select set_config('my.mark', 'left', false)"), B(), E, S]],
    ['by a named one', [P("select set_config('my.mark', 'left', false)", 's'), S, B('s'), E, S]],
    ['by a call of the function', [F('my.mark', 'left', 'f')]],
    ['by SET', [Q("set my.mark = 'left'")]],
    ['by SET behind SET LOCAL', [Q("begin; set local my.mark = 'x'; set my.mark = 'left'; commit")]],
    ['by an escaped name', [Q(String.raw`select u&"set\005fconfig"('my.mark', 'left', false)`)]],
    [
      'in quotes, behind a comment',
      [Q(`select pg_catalog . "set_config" /* ( */ ('my.mark', 'left', false)`)],
    ],
    [
      'behind one that is local',
      [Q("select set_config('a.b', 'c', true), set_config('my.mark', 'left', false)")],
    ],
    ['by COPY', [Q("copy (select set_config('my.mark', 'left', false)) to stdout")]],
    ['by EXPLAIN', [Q("explain analyze select set_config('my.mark', 'left', false)")]],
    [
      'by a text in a text',
      [Q("select query_to_xml('select set_config(''my.mark'', ''left'', false)', true, true, '')")],
    ],
    ['behind 100 KiB', [Q(`select '${'x'.repeat(100_000)}', set_config('my.mark', 'left', false)`)]],
    [
      'where a parameter says whether it is local',
      [
        P('select set_config($1, $2, $3)', 's'),
        frame('B', '', 's', 0, 3, ...['my.mark', 'left', 'false'].map(text), 0),
        E,
        S,
      ],
    ],
    [
      'where a value looks like the end of the call',
      [Q("select set_config('my.mark', 'left, true)', false)")],
    ],
  ])('%s', async (_name, messages) => {
    const [leaving, next] = [await one.connect(), await one.connect()];
    await say(leaving, ...messages);
    const before = await pid();
    await say(next, Q(SHOWN));
    expect([values(next), errors(leaving)]).toEqual([['none'], 0]);
    // It was reset, and not replaced.
    expect(await pid()).toEqual(before);
    for (const client of [leaving, next]) client.close();
  });

  test('by an update of pg_settings, whose tag is that of an UPDATE or a SELECT', async () => {
    const [leaving, next] = [await one.connect(), await one.connect()];
    await say(leaving, Q("update pg_settings set setting = '4711' where name = 'lock_timeout'"));
    await say(leaving, Q('show lock_timeout'));
    const before = await pid();
    await say(next, Q('show lock_timeout'));
    expect([values(next), errors(leaving)]).toEqual([['0'], 0]);
    expect(await pid()).toEqual(before);
    for (const client of [leaving, next]) client.close();
  });

  test('by a named one that another transaction executes again', async () => {
    const [leaving, next] = [await one.connect(), await one.connect()];
    await say(leaving, P("select set_config('my.mark', 'left', false)", 's'), S);
    await say(next, Q('select 1'));
    await say(leaving, B('s'), E, S);
    await say(next, Q(SHOWN));
    expect(values(next)).toEqual(['1', 'none']);
    for (const client of [leaving, next]) client.close();
  });

  test.each<[string, readonly Buffer[]]>([
    [
      'by a Query',
      [
        Q('begin'),
        Q("select pg_catalog.set_config('my.mark', 'a', true), set_config('b.c', 'd', true);"),
        Q('commit'),
      ],
    ],
    [
      'with values of every kind, among other statements',
      [
        Q(`begin; select set_config('a.b', 'it''s', true);
          select set_config('c.d', coalesce(current_user::text, ')'), TRUE), set_config($$e.f$$, ',', true); commit`),
      ],
    ],
    [
      'by a statement with parameters',
      [
        P('select set_config($1, $2, true)'),
        frame('B', '', '', 0, 2, text('my.mark'), text('answer'), 0),
        E,
        S,
      ],
    ],
  ])('and what ends with its transaction costs no reset: %s', async (_name, messages) => {
    const [first, next] = [await one.connect(), await one.connect()];
    await say(first, Q("select nextval('counted')"));
    await say(first, ...messages);
    // A reset would have discarded what the sequence has given this session.
    await say(next, Q(`select currval('counted') > 0, ${SHOWN.slice('select '.length)}`));
    expect(values(next).map((row) => row.includes('none'))).toEqual([true]);
    for (const client of [first, next]) client.close();
  });
});

describe('a statement with the text of another session means the tables of its own schemas', () => {
  const TEXT = 'select n from t';

  test.each<[string, string]>([
    ['SET', 'set local search_path = two'],
    ['SET SCHEMA', "set local schema 'two'"],
    ['set_config', "select set_config('search_path', 'two', true)"],
    ['set_config of a name that is no literal', "select set_config('search' || '_path', 'two', true)"],
    ['an escaped name', String.raw`set local u&"search\005fpath" = two`],
  ])('chosen by %s', async (_name, sql) => {
    const [plain, chooser] = [await one.connect(), await one.connect()];
    const chosen = async (...messages: readonly Buffer[]): Promise<string[]> => {
      await say(chooser, Q('begin'), Q(sql), ...messages, Q('commit'));
      return values(chooser).splice(-1);
    };
    await say(plain, P(TEXT, 'own'), B('own'), E, S);
    expect(await chosen(P(TEXT, 'own'), B('own'), E, S)).toEqual(['two']);
    await say(plain, B('own'), E, S);
    expect(await chosen(B('own'), E, S)).toEqual(['two']);
    expect([values(plain), errors(plain), errors(chooser)]).toEqual([['1', '1'], 0, 0]);
    for (const client of [plain, chooser]) client.close();
  });

  test('also one that was prepared before they were chosen', async () => {
    const [plain, chooser] = [await one.connect(), await one.connect()];
    await say(plain, P('select n from u', 'own'), B('own'), E, S);
    await say(chooser, P('select n from u', 'own'), S);
    await say(chooser, Q('begin'), Q('set local search_path = two'), B('own'), E, S, Q('commit'));
    await say(plain, B('own'), E, S);
    expect([values(chooser), values(plain), errors(plain), errors(chooser)]).toEqual([
      ['2'],
      ['1', '1'],
      0,
      0,
    ]);
    for (const client of [plain, chooser]) client.close();
  });

  const IN_TWO = [Q('begin'), Q('set local search_path = two')];

  test('chosen in one write with the first Parse of all', async () => {
    const [plain, chooser] = [await one.connect(), await one.connect()];
    await say(chooser, ...IN_TWO, P(TEXT, 'own'), B('own'), E, S, Q('commit'));
    await say(plain, P(TEXT, 'own'), B('own'), E, S);
    expect([values(chooser), values(plain), errors(plain)]).toEqual([['two'], ['1'], 0]);
    for (const client of [plain, chooser]) client.close();
  });

  test('prepared again elsewhere, under other schemas, it is taken for no other', async () => {
    const two = sharedSessions(postgres, database, 2);
    const [chooser, holder, plain] = [await two.connect(), await two.connect(), await two.connect()];
    await say(chooser, P(TEXT, 'own'), B('own'), E, S, P('select n from u', 'same'), B('same'), E, S);
    // The connection that has it is not to be had.
    await say(holder, Q('begin'), P(TEXT, 'own'), B('own'), E, S);
    await say(chooser, ...IN_TWO, B('same'), E, S, B('own'), E, S, Q('rollback'));
    await say(plain, P(TEXT, 'own'), B('own'), E, S);
    // The table of the other schema has a column of another type, which PostgreSQL refuses: 0A000.
    expect([values(chooser), errors(chooser)]).toEqual([['1', '1', '2'], 1]);
    expect([values(plain), errors(plain)]).toEqual([['1'], 0]);
    await two.close();
  });

  test.each<[string, readonly Buffer[], Readonly<Record<string, string>>]>([
    ['SET', [Q('set transform_null_equals = on')], {}],
    ['SET LOCAL', [Q('begin'), Q('set local transform_null_equals = on')], {}],
    ['set_config', [Q('begin'), Q("select set_config('transform_null_equals', 'on', true)")], {}],
    ['the startup packet', [Q('select 1')], { transform_null_equals: 'on' }],
  ])('and compares with NULL as its own session does: chosen by %s', async (_name, chooses, parameters) => {
    const compared = 'select count(*) from (values (null::int), (1)) as v (i) where i = null';
    const use = (): Buffer[] => [P(compared, 'own'), B('own'), E, S, frame('C', Buffer.from('S'), 'own'), S];
    const last = async (client: RawClient, ...messages: readonly Buffer[]): Promise<string | undefined> => {
      await say(client, ...messages);
      return values(client).at(-1);
    };
    const [plain, chooser] = [await one.connect(), await one.connect({ parameters })];
    expect(await last(plain, ...use())).toBe('0');
    await say(chooser, ...chooses);
    expect(await last(chooser, ...use())).toBe('1');
    await say(chooser, Q('commit'));
    expect(await last(plain, ...use())).toBe('0');
    for (const client of [plain, chooser]) client.close();
  });

  test('sessions that choose none share what they prepare', async () => {
    const [first, next] = [await one.connect(), await one.connect()];
    await say(first, P(TEXT, 'own'), B('own'), E, S);
    await say(first, Q("select set_config('a.b', 'c', true)"));
    await say(next, P(TEXT, 'own'), B('own'), E, S, Q('select count(*) from pg_prepared_statements'));
    expect(values(next)).toEqual(['1', '1']);
    for (const client of [first, next]) client.close();
  });
});

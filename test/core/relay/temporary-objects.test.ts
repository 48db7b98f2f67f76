/** Temporary objects in transaction mode: where the text says so they stay with their session, and no other session meets them or what they mean for its texts. */
import { afterEach, beforeAll, expect, test } from 'vitest';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { say } from '../../support/settings-client.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let shared: SharedSessions | undefined;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    `create table t (n int); insert into t values (1); grant select, insert on t to writer; grant create on schema public to writer`,
    database,
  );
});
afterEach(async () => {
  await shared?.close();
  shared = undefined;
});

const Q = (sql: string): Buffer => frame('Q', sql);
const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const B = (name = ''): Buffer => frame('B', '', name, 0, 0, 0);
const D = (name: string): Buffer => frame('D', Buffer.from('S'), name);
const E = frame('E', '', Buffer.alloc(4));
const S = frame('S');

const SEEN = "select coalesce(to_regclass('pg_temp.t')::text, 'none'), n::text from t";
const UNSEEN = ['none|1', 'SELECT 1'];

/** By the extended protocol. */
const X = (sql: string): Buffer[] => [P(sql), B(), E, S];

test.each<[string, readonly Buffer[]]>([
  ['CREATE TABLE AS', [Q("create table pg_temp.t as select 'temporary' as n")]],
  ['CREATE TABLE AS, extended', X("create table pg_temp.t as select 'temporary' as n")],
  ['SELECT INTO', [Q("select 'temporary' as n into pg_temp.t")]],
  ['a name in quotes', [Q(`create table "pg_temp" . t as select 'temporary' as n`)]],
  ['a comment in the name', [Q("create table pg_temp/**/./**/t as select 'temporary' as n")]],
  ['a view', [Q("create view pg_temp.t as select 'temporary' as n")]],
])('one whose text names pg_temp stays with its session, and no other meets it: %s', async (_name, makes) => {
  shared = sharedSessions(postgres, database, 2);
  const [mine, other] = [await shared.connect(), await shared.connect()];
  await say(mine, ...makes);
  for (let i = 0; i < 3; i += 1) {
    expect((await say(mine, Q(SEEN)))[0]).toMatch(/\|temporary$/);
    expect(await say(other, Q(SEEN))).toEqual(UNSEEN);
  }
  mine.close();
  await mine.relay.done;
  for (const one of [other, await shared.connect()]) {
    await say(one, Q('begin'));
    expect(await say(one, Q(SEEN))).toEqual(UNSEEN);
  }
});

test.each<[string, readonly (readonly Buffer[])[]]>([
  ['CREATE TABLE AS', [[Q("create table t as select 'temporary' as n")]]],
  ['SELECT INTO, extended', [X("select 'temporary' as n into t")]],
  [
    'a named statement, executed later',
    [[P("create table t as select 'temporary' as n", 's'), S], [Q('select 1')], [B('s'), E, S]],
  ],
])(
  'with pg_temp in the search_path one is made by a text without a word of it, and no other session meets it: %s',
  async (_name, steps) => {
    for (const path of ['pg_temp', '"$user", pg_temp, public']) {
      shared = sharedSessions(postgres, database, 1);
      const [mine, other] = [await shared.connect(), await shared.connect()];
      await say(mine, Q(`set search_path = ${path}`));
      for (const step of steps) await say(mine, ...step);
      expect(await say(other, Q(SEEN))).toEqual(UNSEEN);
      // All in one write.
      await say(mine, Q(`set search_path = ${path}`), ...steps.flat());
      expect(await say(other, Q(SEEN))).toEqual(UNSEEN);
      const started = await shared.connect({ parameters: { search_path: path } });
      for (const step of steps) await say(started, ...step);
      expect(await say(other, Q(SEEN))).toEqual(UNSEEN);
      await shared.close();
      shared = undefined;
    }
  },
);

/** Name and type of each column in the last description; errors by their SQLSTATE. */
function told(client: RawClient, from: number): string[] {
  return client.messages.slice(from).flatMap(({ type, body }) => {
    if (type === 'E') return [/\0C([0-9A-Z]{5})\0/.exec(body.toString('latin1'))?.[1] ?? '?'];
    return type === 'T'
      ? [`${body.toString('latin1', 2, body.indexOf(0, 2))}:${body.readUInt32BE(body.indexOf(0, 2) + 7)}`]
      : [];
  });
}

test('a text that means a temporary table in one session is described to others as what it means to them', async () => {
  shared = sharedSessions(postgres, database, 2);
  const [mine, other] = [await shared.connect(), await shared.connect({ fingerprint: 'other' })];
  await say(mine, Q("create temp table t as select 'temporary'::text as n"));
  const rounds: string[][] = [];
  for (let i = 0; i < 3; i += 1) {
    for (const client of [mine, other]) {
      const from = client.messages.length;
      await say(client, P('select n from t', `s${i}`), D(`s${i}`), S, B(`s${i}`), E, S);
      rounds.push([...told(client, from), ...(await say(client, B(`s${i}`), E, S))]);
    }
  }
  const [temporary, own] = [
    ['n:25', 'temporary', 'SELECT 1'],
    ['n:23', '1', 'SELECT 1'],
  ];
  expect(rounds).toEqual([temporary, own, temporary, own, temporary, own]);
});

/** DEALLOCATE in SQL, as drivers write it: in transaction mode it frees the names that it frees on a PostgreSQL connection of one's own, and no others. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { deallocated } from '../../../core/relay/prepared/deallocate.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { direct, frame, openAs } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { typesOf } from '../../support/sequences.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let shared: SharedSessions;

beforeAll(async () => {
  database = await freshDatabase();
  shared = sharedSessions(postgres, database, 2);
});
afterAll(() => shared.close());
const clients: RawClient[] = [];
afterEach(() => clients.splice(0).forEach((client) => client.close()));

const Q = (sql: string): Buffer => frame('Q', sql);
const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const B = (name = ''): Buffer => frame('B', '', name, 0, 0, 0);
const E = frame('E', '', Buffer.alloc(4));
const S = frame('S');
/** The text by the extended protocol, without a name and with one. */
const X = (sql: string): Buffer => Buffer.concat([P(sql), B(), E, S]);
const N = (sql: string): Buffer => Buffer.concat([P(sql, 'command'), B('command'), E, S]);
/** A use of a name, which shows whether it is free. */
const use = (name: string): Buffer => Buffer.concat([B(name), E, S]);

/** Sends a step, and tells its answers: errors by code and text, where they stand in the text included. */
async function said(client: RawClient, step: Buffer): Promise<string[]> {
  const before = client.messages.length;
  const asked = typesOf(step).match(/[QS]/g)?.length ?? 0;
  client.send(step);
  const answers = () => client.messages.slice(before);
  await expect.poll(() => answers().filter(({ type }) => type === 'Z').length, { interval: 2 }).toBe(asked);
  return answers().map(({ type, body }) => {
    const text = body.toString('latin1');
    return type === 'E' ? `E ${(text.match(/(?<=^|\0)[CMP][^\0]*/g) ?? []).join(' ')}` : `${type} ${text}`;
  });
}

/** Every step on a connection of its own and through the gateway, where another session uses the connections in between. */
async function compare(steps: readonly Buffer[]): Promise<void> {
  const plain = direct(await openAs(postgres, database, 'writer'));
  const through = await shared.connect();
  const other = await shared.connect({ fingerprint: 'other' });
  clients.push(plain, through, other);
  for (const [i, step] of steps.entries()) {
    const expected = await said(plain, step);
    expect(await said(through, step), `step ${i}`).toEqual(expected);
    if (!through.holds) {
      await said(other, Q("select 'other'"));
      expect((await said(other, Q('execute a'))).at(0)).toContain('C26000');
    }
  }
}

const prepare = (): Buffer =>
  Buffer.concat([P("select 'a'", 'a'), P("select 'b'", 'b'), P("select 'x y'", 'x y'), S]);
const after = [
  use('a'),
  use('b'),
  use('x y'),
  P('select 2', 'a'),
  S,
  use('a'),
  Q('deallocate all'),
  use('a'),
];
/** Each with what a test needs behind it in one step. */
const steps = (...more: readonly Buffer[]): Buffer[] => [
  prepare(),
  ...more,
  ...after.slice(0, 3),
  Buffer.concat(after.slice(3, 5)),
  ...after.slice(5),
];

const TEXTS = [
  'deallocate a',
  '  DEALLOCATE PREPARE A ;',
  '\n\t deallocate\n prepare "a"',
  'deallocate"a"',
  'deallocate A',
  'deallocate "A"',
  "/*controller='users',action='show'*/ deallocate a",
  "deallocate a /*traceparent='00-abc-def-01',route='/a;b'*/",
  'deallocate/* one /* nested */ comment */a -- and another; deallocate b',
  '-- deallocate b\ndeallocate a',
  'deallocate prepare "x y"',
  'deallocate prepare',
  'deallocate "no such"',
  'deallocate all',
  'deallocate prepare all',
  'explain select 1',
];
const SEVERAL = [
  'deallocate a; deallocate b',
  'deallocate a;deallocate prepare "x y";;deallocate b;',
  'deallocate a; deallocate a',
  "select 'deallocate b'; deallocate a; select 1; /* ; deallocate b; */ select 2",
  'deallocate a; select 1/0; deallocate b',
  'select 1/0; deallocate a',
  'deallocate a; nonsense',
  'deallocate a; select * from nowhere',
  'deallocate "no such"; deallocate a',
  'deallocate a; deallocate all; deallocate b',
  'begin; deallocate a; rollback',
  'begin; deallocate a; select 1/0; deallocate b',
  'begin; deallocate a; commit; deallocate b',
  'do $$ begin perform 1; -- ; deallocate b;\n end $$; deallocate a',
];

test.each([...TEXTS, ...SEVERAL])('%j by the simple protocol', (text) =>
  compare([...steps(Q(text)), Q('rollback')]),
);

test.each(TEXTS)('%j by the extended protocol, without a name and with one', async (text) => {
  await compare(steps(X(text)));
  await compare(steps(N(text), Buffer.concat([B('command'), E, S])));
});

test('in a transaction that is rolled back, and in one that has failed', async () => {
  await compare(steps(Q('begin'), Q('deallocate a'), Q('rollback')));
  await compare(steps(Q('begin'), X('deallocate a'), Q('select 1/0'), Q('rollback')));
  for (const said of [Q('deallocate a'), X('deallocate a')]) {
    await compare(steps(Q('begin'), Q('select 1/0'), said, Q('rollback; deallocate b')));
    await compare(steps(Q('begin'), Q('select 1/0'), said, Q('rollback'), said));
  }
  await compare(steps(Q('begin; savepoint s'), Q('deallocate a'), Q('rollback to s'), Q('commit')));
});

test('in one write with what is in front and behind', async () => {
  const all = [P("select 'a'", 'a'), B('a'), E, S, Q('deallocate a'), P("select 'new'", 'a'), B('a'), E, S];
  await compare([Buffer.concat(all), use('a')]);
  await compare([Buffer.concat([P("select 'a'", 'a'), S, X('deallocate a'), X('deallocate a')]), use('a')]);
  // The batch fails in front of it, and behind it.
  await compare(steps(Buffer.concat([B('none'), P('deallocate a'), B(), E, S]), use('a'), Q('deallocate a')));
  await compare(steps(Buffer.concat([P('deallocate a'), B(), E, B('none'), S]), use('a')));
});

test('a statement that was prepared long ago and frees another name each time it is bound', () =>
  compare([
    Buffer.concat([P('deallocate a', 'd'), S]),
    ...[1, 2].flatMap((n) => [
      Buffer.concat([P(`select ${n}`, 'a'), S]),
      use('a'),
      Buffer.concat([B('d'), E, S]),
      use('a'),
      Buffer.concat([B('d'), E, S]),
    ]),
  ]));

/** Portals by name. */
const BP = (portal: string, name: string): Buffer => frame('B', portal, name, 0, 0, 0);
const EP = (portal: string): Buffer => frame('E', portal, Buffer.alloc(4));
const CP = (portal: string): Buffer => frame('C', `P${portal}`);
const H = frame('H');

describe('portals that are bound before another one is executed', () => {
  const commands = [P('deallocate a', 'da'), P('deallocate b', 'db'), P('select 1', 's'), S];
  const both = [BP('one', 'da'), BP('two', 'db')];
  test.each<[string, readonly Buffer[]]>([
    ['the first alone', [...both, EP('one'), S]],
    ['the second alone', [...both, EP('two'), S]],
    ['both', [...both, EP('one'), EP('two'), S]],
    ['both, the other way round', [...both, EP('two'), EP('one'), S]],
    ['none', [...both, S]],
    ['the first, twice', [...both, EP('one'), EP('one'), S]],
    ['both, and an error between', [...both, EP('one'), B('none'), EP('two'), S]],
    ['both, and an error in front', [...both, B('none'), EP('one'), EP('two'), S]],
    ['both for one name', [BP('one', 'da'), BP('two', 'da'), EP('two'), EP('one'), S]],
    ['both, and a Flush between', [...both, EP('two'), H, BP('three', 's'), EP('three'), EP('one'), S]],
    ['one that was bound again', [...both, BP('', 'da'), B('s'), E, EP('two'), S]],
    ['one that was closed and bound again', [...both, CP('one'), BP('one', 's'), EP('one'), S]],
    ['one that was closed', [...both, CP('two'), EP('one'), S]],
    ['the unnamed one and another', [B('da'), BP('two', 'db'), E, S]],
    ['another and the unnamed one', [BP('two', 'db'), B('da'), EP('two'), S]],
    ['a third one', [...both, EP('two'), BP('three', 'db'), BP('four', 'da'), EP('four'), EP('three'), S]],
  ])('%s', async (_what, messages) => {
    const batch = Buffer.concat(messages);
    const end = [use('a'), use('b'), use('x y'), Q('select 1'), Q('deallocate b'), use('a'), use('b')];
    await compare([prepare(), Buffer.concat(commands), batch, ...end]);
    // In a transaction of several batches, in which all comes message by message or together.
    const apart = messages.flatMap((one) => (one === S ? [] : [Buffer.concat([one, S])]));
    for (const said of [[batch], apart])
      await compare([
        Buffer.concat([prepare(), ...commands, Q('begin')]),
        ...said,
        use('a'),
        Q('rollback'),
        ...end,
        // Once more, with commands that are not executed and then others that are.
        Buffer.concat([Q('begin'), batch, Q('rollback'), prepare()]),
        use('a'),
        Buffer.concat([Q('deallocate a'), use('a'), use('b')]),
      ]);
  });
});

test('a connection whose session frees names by a Query serves the next session: it is not opened anew', async () => {
  const one = sharedSessions(postgres, database, 1);
  const client = await one.connect();
  const pid = async (): Promise<string> =>
    (await said(client, Q('select pg_backend_pid()'))).find((line) => line.startsWith('D')) ?? '';
  const before = await pid();
  for (let i = 0; i < 3; i += 1) {
    await said(client, Buffer.concat([P('select 1', 'a'), S]));
    await said(client, Q('deallocate a'));
  }
  expect(await pid()).toBe(before);
  await one.close();
});

test.each<[string, readonly Buffer[]]>([
  ['not executed', [P('deallocate a'), B(), S]],
  [
    'in a transaction that has failed',
    [Q('begin'), Q('select 1/0'), P('deallocate a'), B(), E, S, Q('rollback')],
  ],
  ['behind an error of its text', [Q('select 1/0; deallocate a')]],
])(
  'no session of the same identity meets a name whose command was not carried out: %s',
  async (_name, step) => {
    const one = sharedSessions(postgres, database, 1);
    const [client, other] = [await one.connect(), await one.connect()];
    await said(client, Buffer.concat([P("select 'a'", 'a'), S]));
    await said(client, Buffer.concat(step));
    expect((await said(other, Q('execute a'))).at(0)).toContain('C26000');
    expect((await said(other, use('a'))).at(0)).toContain('C26000');
    expect((await said(client, use('a'))).at(1)).toContain('a');
    await one.close();
  },
);

describe('the names that a text deallocates', () => {
  test.each([
    ['deallocate "a""b"; deallocate Ab$1', ['a"b', 'ab$1']],
    ['deallocate \u00c3\u00a0', ['\u00c3\u00a0']],
    ['deallocate a b; deallocate; deallocate all', []],
    ['select 1 as deallocate, \'deallocate a\', $x$; deallocate a;$x$, "; deallocate a;"', []],
    ['deallocate a; select "', ['a']],
  ])('%j', (text, names) => expect(deallocated(text)).toEqual(names));
});

/**
 * ALTER ROLE … SET and ALTER DATABASE … SET while connections are open, in transaction mode: a session keeps the defaults of its login,
 * whichever connection it gets, as on a PostgreSQL connection of its own, and its statements are not those of sessions with others.
 */
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { B, C, E, LITERAL, P, PARAMETER, Q, RESULT, S } from '../../support/frames.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import type { RawClient } from '../../support/raw.ts';
import { say, straight } from '../../support/settings-client.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
const cleanUp: (() => void | Promise<void>)[] = [];

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    `create schema a; create schema b; grant usage on schema a, b to writer;
     create table a.t (v text); create table b.t (v int); grant all on a.t, b.t to writer;
     create function a.f() returns text language sql as $$ select 'a' $$;
     create function b.f() returns int language sql as $$ select 2 $$`,
    database,
  );
});
afterEach(async () => {
  for (const close of cleanUp.splice(0).toReversed()) await close();
});

const PATHS: readonly (readonly Buffer[])[] = [
  [P(LITERAL, 'literal'), B('literal'), E, S],
  [P(PARAMETER, 'parameter'), S],
  [B('parameter', '007'), E, S],
  [P(PARAMETER), B('', '007'), E, S],
  [P(RESULT, 'result'), B('result'), E, S],
  [B('literal'), E, B('parameter', '007'), E, S],
  [B('result'), E, S],
  [Q(LITERAL)],
  [C('parameter'), C('result'), C('literal'), S],
];
/** Used again without a Parse. */
const AGAIN: readonly (readonly Buffer[])[] = [
  [B('literal'), E, S],
  [B('parameter', '008'), E, S],
  [B('result'), E, S],
];

/** A client as both sides have it. */
type Who = 'old' | 'new';
type Step = readonly [who: Who, ...messages: readonly Buffer[]];
const each = (who: Who, all: readonly (readonly Buffer[])[]): readonly Step[] =>
  all.map((messages) => [who, ...messages]);

/** Two clients, one of whom comes after the change. */
interface Clients {
  readonly old: RawClient;
  readonly new: RawClient;
}

async function told(clients: Partial<Clients>, steps: readonly Step[]): Promise<string[]> {
  const all: string[] = [];
  for (const [who, ...messages] of steps) {
    const client = clients[who];
    if (!client) throw new Error('it has not come yet');
    all.push(`${who}: ${(await say(client, ...messages)).join(', ')}`);
  }
  return all;
}

/** What the tables have, which is nothing afterwards. */
async function written(): Promise<string[]> {
  const of = async (table: string): Promise<string> =>
    (await postgres.sql(`select v::text from ${table}`, database)).map(({ v }) => v).join(' ');
  const found = [`a: ${await of('a.t')}`, `b: ${await of('b.t')}`];
  await postgres.sql('truncate a.t, b.t', database);
  return found;
}

interface Scene {
  /** Run as the superuser before the first login, and between the two. */
  readonly before: string;
  readonly change: string;
  readonly early: readonly Step[];
  readonly late: readonly Step[];
}

const superuser = (sql: string): Promise<unknown> =>
  postgres.sql(sql.replaceAll('DB', `database ${database}`), database);

async function direct({ before, change, early, late }: Scene): Promise<string[]> {
  await superuser(`alter role writer in DB reset all; alter DB reset all; ${before}`);
  const old = await straight(postgres, database);
  cleanUp.push(() => old.close());
  const first = await told({ old }, early);
  await superuser(change);
  const clients = { old, new: await straight(postgres, database) };
  cleanUp.push(() => clients.new.close());
  return [...first, ...(await told(clients, late)), ...(await written())];
}

/** Every connection is replaced when the second client comes. */
async function replaced({ before, change, early, late }: Scene): Promise<string[]> {
  await superuser(`alter role writer in DB reset all; alter DB reset all; ${before}`);
  const shared = sharedSessions(postgres, database, 1);
  cleanUp.push(() => shared.close());
  const old = await shared.connect();
  const first = await told({ old }, early);
  await superuser(change);
  shared.pool.reconnect();
  const clients = { old, new: await shared.connect() };
  return [...first, ...(await told(clients, late)), ...(await written())];
}

/** The connection from before and that from after stay, and each client has that of the other one. */
async function swapped({ before, change, early, late }: Scene): Promise<string[]> {
  await superuser(`alter role writer in DB reset all; alter DB reset all; ${before}`);
  const shared = sharedSessions(postgres, database, 2);
  cleanUp.push(() => shared.close());
  const old = await shared.connect();
  const first = await told({ old }, early);
  await superuser(change);
  await say(old, Q('begin'));
  const clients = { old, new: await shared.connect() };
  await say(old, Q('commit'));
  await say(clients.new, Q('begin'));
  const other = await shared.connect();
  await say(other, Q('begin'));
  await say(clients.new, Q('commit'));
  // The old client gets the new connection, the new one the old connection.
  await say(old, Q('begin'), Q('commit'), Q('begin'));
  await say(other, Q('commit'));
  other.close();
  await say(clients.new, Q('begin'), Q('commit'));
  await say(old, Q('commit'));
  return [...first, ...(await told(clients, late)), ...(await written())];
}

async function compare(scene: Scene): Promise<readonly string[]> {
  const expected = await direct(scene);
  expect(['replaced', ...(await replaced(scene))]).toEqual(['replaced', ...expected]);
  expect(['swapped', ...(await swapped(scene))]).toEqual(['swapped', ...expected]);
  return expected;
}

const CHANGES: readonly (readonly [name: string, before: string, change: string])[] = [
  [
    'for the role',
    'alter role writer in DB set search_path = a',
    'alter role writer in DB set search_path = b',
  ],
  ['for the database', 'alter DB set search_path = a', 'alter DB set search_path = b'],
  [
    'for the role after the database',
    'alter DB set search_path = a',
    'alter role writer in DB set search_path = b',
  ],
];

describe.each(CHANGES)('search_path is set %s', (_name, before, change) => {
  const start = [[P(LITERAL, 'literal'), P(PARAMETER, 'parameter'), P(RESULT, 'result'), S], ...AGAIN];
  const early = each('old', start);

  test('and what was prepared before means the same', async () => {
    const late = [...each('old', AGAIN), ...each('new', start), ...each('old', AGAIN), ...each('new', AGAIN)];
    const result = await compare({ before, change, early, late });
    expect(result.at(-2)).toBe(`a: ${'007 008 '.repeat(3).trim()}`);
    expect(result.at(-1)).toBe(`b: ${'7 8 '.repeat(2).trim()}`);
  });

  test('and what is prepared after it means what it means on the login of its client', async () => {
    const [old, next] = [each('old', PATHS), each('new', PATHS)];
    await compare({ before, change, early: old, late: [...next, ...old, ...next] });
    await compare({ before, change, early: old, late: [...old, ...next, ...old] });
  });

  test.each(['reset search_path', 'reset all', 'discard all', 'set search_path to default'])(
    'and %s returns to that of the login',
    async (back) => {
      const turn = (who: Who, path: string): readonly Step[] => [
        [who, Q(`set search_path = ${path}`)],
        ...each(who, PATHS),
        [who, Q(back)],
        ...each(who, PATHS),
      ];
      const late = [...turn('old', 'b'), ...turn('new', 'a'), ...turn('old', 'a'), ...turn('new', 'b')];
      await compare({ before, change, early: each('old', PATHS), late });
    },
  );

  test('and a SET in a transaction, rolled back or not, ends there', async () => {
    const of = (who: Who, end: string): readonly Step[] => [
      [who, Q('begin'), Q('set local search_path = b')],
      ...each(who, PATHS),
      [who, Q(end)],
      [who, Q('begin'), Q('set search_path = a')],
      ...each(who, PATHS),
      [who, Q('rollback')],
      ...each(who, PATHS),
    ];
    const late = [...of('old', 'commit'), ...of('new', 'rollback'), ...of('old', 'rollback')];
    await compare({ before, change, early: each('old', PATHS), late });
  });
});

/** What keeps a connection with its session. */
const STAYS: readonly (readonly [what: string, ...messages: readonly Buffer[]])[] = [
  ['LISTEN', Q('listen x')],
  ['a temporary table', Q('create temp table z (v int)')],
  ['an advisory lock', Q('select pg_advisory_lock_shared(1)')],
  ['a cursor', Q('begin; declare c cursor with hold for select 1; commit')],
  ['a prepared statement', Q('prepare p as select 1')],
];
/** What returns settings to their defaults, or does so and takes it back. */
const BACK: readonly (readonly [what: string, ...messages: readonly Buffer[]])[] = [
  ['RESET', Q('reset search_path')],
  ['RESET by a batch', P('reset search_path'), B(), E, S],
  ['RESET by a named statement', P('reset search_path', 'r'), B('r'), E, S, B('r'), E, C('r'), S],
  ['RESET ALL', Q('reset all')],
  ['DISCARD ALL', Q('discard all')],
  ['SET … TO DEFAULT', Q('set search_path to default')],
  ['set_config with NULL', Q("select set_config('search_path', null, false) is null")],
  ['a transaction', Q('begin'), Q('reset search_path'), Q('commit')],
  ['a transaction that fails', Q('begin; reset search_path'), Q('select 1/0'), Q('commit')],
  ['a savepoint', Q('begin; savepoint s'), Q('reset all'), Q('rollback to s'), Q('commit')],
  ['a text with other statements', Q('select 1; reset search_path; deallocate all')],
  ['DO', Q('do $$ begin reset search_path; end $$')],
  ['a name that is computed', Q("select set_config('search' || '_path', null, false) is null")],
];

const [listens = [''], ...others] = STAYS;
const PAIRS = [
  ...BACK.map((back) => [listens[0], back[0], listens, back] as const),
  ...BACK.slice(0, 1).flatMap((back) => others.map((stay) => [stay[0], back[0], stay, back] as const)),
];

test.each(PAIRS)(
  'on a connection that stays with its session, for %s, search_path returns to that of the login after %s',
  async (_what, _how, [, ...stay], [, ...back]) => {
    const [before, change] = [
      'alter role writer in DB set search_path = a; alter DB set search_path = b',
      'alter role writer in DB set search_path = b',
    ];
    const late: readonly Step[] = [
      ...each('new', PATHS),
      ['old', ...stay],
      ...each('old', PATHS),
      ['old', ...back],
      ...each('old', PATHS),
      ['old', Q('set search_path = b')],
      ['old', ...back],
      ...each('old', PATHS),
    ];
    await compare({ before, change, early: each('old', PATHS), late });
  },
);

test('search_path is not set any more, and the session from before keeps it', async () => {
  await superuser('create table public.t (v float); grant all on public.t to writer');
  const [before, change] = [
    'alter role writer in DB set search_path = a',
    'alter role writer in DB reset search_path',
  ];
  const [old, next] = [each('old', PATHS), each('new', PATHS)];
  await compare({ before, change, early: old, late: [...next, ...old, ...next] });
});

/** Settings that no server reports, two values of each, and a text that is read in another way. */
const READINGS: readonly (readonly [setting: string, from: string, to: string, text: string])[] = [
  [
    'transform_null_equals',
    'off',
    'on',
    'select count(*) from (values (null::int), (1)) as t(v) where v = null',
  ],
  ['array_nulls', 'on', 'off', "select ('{null}'::text[])[1] is null"],
  ['xmloption', 'content', 'document', "select '<a/>b'::xml"],
  ['timezone_abbreviations', "'Default'", "'India'", "select '2020-01-01 12:00 IST'::timestamptz"],
  ['backslash_quote', 'on', 'off', String.raw`select E'\''`],
];

describe.each(READINGS)('%s is set to %s, and then to %s', (setting, from, to, text) => {
  const steps = (who: Who): readonly Step[] => [
    [who, P(text, 's'), B('s'), E, S],
    [who, B('s'), E, S],
    [who, P(text), B(''), E, S],
    [who, Q(text)],
  ];

  test('each client reads what its login says', async () => {
    const alter = (value: string): string => `alter role writer in DB set ${setting} = ${value}`;
    const again: readonly Step[] = [
      ['old', B('s'), E, S],
      ['old', C('s'), S],
      ['new', C('s'), S],
    ];
    const late = [...steps('new'), ...again, ...steps('old'), ...again, ...steps('new'), ...steps('old')];
    const expected = await compare({ before: alter(from), change: alter(to), early: steps('old'), late });
    const parsedBy = (who: Who): string | undefined =>
      expected.findLast((one) => one.startsWith(who))?.slice(who.length);
    expect(parsedBy('old')).not.toBe(parsedBy('new'));
  });

  test('and on a connection that stays, a RESET returns to what its login says', async () => {
    const alter = (value: string): string => `alter role writer in DB set ${setting} = ${value}`;
    const late: readonly Step[] = [
      ['old', Q('listen x'), Q(`reset ${setting}`)],
      ...steps('old'),
      ['old', Q(`set ${setting} = ${to}`), Q('reset all'), C('s'), S],
      ...steps('old'),
    ];
    const early: readonly Step[] = [...steps('old'), ['old', C('s'), S]];
    await compare({ before: alter(from), change: alter(to), early, late });
  });
});

/**
 * Statements whose names are looked up in other schemas: two clients of one identity in transaction mode, each of whom reads what it
 * would on a PostgreSQL connection of its own, although servers before 18 do not report search_path.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { LeftState } from '../../../core/sql/left-state.ts';
import { parseSchema } from '../../../core/contract/names.ts';
import { FunctionCatalog } from '../../../core/upstream/function-catalog.ts';
import { B, C, E, LITERAL, P, PARAMETER, Q, RESULT, S, sized } from '../../support/frames.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { say, straight } from '../../support/settings-client.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { Arrival, SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let observer: RawClient;
let shared: SharedSessions | undefined;
const directs: RawClient[] = [];

beforeAll(async () => {
  database = await freshDatabase();
  // Each table keeps what it was given, and its type: `007` in one of text, `7` in one of int.
  await postgres.sql(
    `create schema a; create schema b; grant usage on schema a, b to writer;
     create table a.t (v text); create table b.t (v int); grant all on a.t, b.t to writer;
     create function a.f() returns text language sql as $$ select 'a' $$;
     create function b.f() returns int language sql as $$ select 2 $$;
     create function public.look() returns text language sql set search_path = b as $$ select v::text from t limit 1 $$;
     create function public.turn_to(name text) returns void language plpgsql as
       $$ begin perform set_config('search_path', name, false); end $$;
     create procedure public.move_to(name text) language plpgsql as
       $$ begin perform set_config('search' || '_path', name, true); end $$`,
    database,
  );
  observer = await straight(postgres, database);
});
afterAll(() => observer.close());
afterEach(async () => {
  for (const client of directs.splice(0)) client.close();
  await shared?.close();
  shared = undefined;
});

/** Each text by a name and without one, each time parsed anew, and again as it was. */
const SPECIMENS: readonly (readonly Buffer[])[] = [
  [P(LITERAL, 'literal'), B('literal'), E, S],
  [P(PARAMETER, 'parameter'), S],
  [B('parameter', '007'), E, S],
  [P(LITERAL), B(''), E, S],
  [P(PARAMETER), B('', '007'), E, S],
  [P(RESULT, 'result'), B('result'), E, S],
  [B('literal'), E, B('parameter', '007'), E, S],
  [C('parameter'), P(PARAMETER, 'parameter'), B('parameter', '007'), E, S],
];

/** One step of one of the two clients. */
type Step = readonly [client: 0 | 1, ...messages: readonly Buffer[]];

const specimens = (client: 0 | 1): readonly Step[] => SPECIMENS.map((messages) => [client, ...messages]);
const together = (client: 0 | 1): Step => [client, ...SPECIMENS.flat()];

async function run(clients: readonly RawClient[], steps: readonly Step[]): Promise<readonly string[]> {
  const told: string[] = [];
  await say(observer, Q('truncate a.t, b.t'));
  for (const [who, ...messages] of steps) {
    const client = clients[who];
    if (!client) throw new Error('there is no such client');
    told.push(`${who}: ${(await say(client, ...messages)).join(', ')}`);
  }
  for (const table of ['a.t', 'b.t'])
    told.push(`${table}: ${(await say(observer, Q(`table ${table}`))).join(' ')}`);
  return told;
}

type Packets = readonly [Readonly<Record<string, string>>, Readonly<Record<string, string>>];
const NONE: Packets = [{ search_path: 'a' }, {}];

/** The same steps directly and through pools of one connection and of two. */
async function compare(
  steps: readonly Step[],
  packets: Packets = NONE,
  arrivals: readonly Arrival[] = packets.map((parameters) => ({ parameters })),
): Promise<readonly string[]> {
  const alone: RawClient[] = [];
  for (const packet of packets) alone.push(await straight(postgres, database, packet));
  directs.push(...alone);
  const expected = await run(alone, steps);
  for (const size of [1, 2]) {
    const pool = sharedSessions(postgres, database, size);
    shared = pool;
    const clients: RawClient[] = [];
    for (const arrival of arrivals) clients.push(await pool.connect(arrival));
    expect([size, ...(await run(clients, steps))]).toEqual([size, ...expected]);
    await pool.close();
    shared = undefined;
  }
  return expected;
}

/** Ways to look names up in schema b for a session, and how its transaction begins and ends. */
const WAYS: readonly (readonly [name: string, before: readonly Buffer[], after: readonly Buffer[]])[] = [
  ['SET', [Q('set search_path = b')], []],
  ['SET SESSION', [Q('set session search_path to b, public')], []],
  ['SET SCHEMA', [Q("set schema 'b'")], []],
  ['set_config', [Q("select set_config('search_path', 'b', false)")], []],
  ['SET by a named statement', [P('set search_path = b', 'way'), B('way'), E, S], []],
  ['SET by an unnamed statement', [P('set search_path = b'), B(''), E, S], []],
  ['SET in a transaction', [Q('begin'), Q('set search_path = b')], [Q('commit')]],
  ['SET that is rolled back', [Q('begin'), Q('set search_path = b')], [Q('rollback')]],
  ['SET LOCAL', [Q('begin'), Q('set local search_path = b')], [Q('commit')]],
  ['SET LOCAL SCHEMA', [Q('begin'), Q("set local schema 'b'")], [Q('commit')]],
  [
    'SET LOCAL by a statement',
    [Q('begin'), P('set local search_path = b', 'way'), B('way'), E, S],
    [Q('commit')],
  ],
  [
    'set_config in a transaction',
    [Q('begin'), Q("select set_config('search_path', 'b', true)")],
    [Q('commit')],
  ],
  [
    'set_config of parameters',
    [Q('begin'), P('select set_config($1, $2, false)'), B('', 'search_path', 'b'), E, S],
    [Q('rollback')],
  ],
  [
    'set_config of a name with an escape',
    [Q('begin'), Q(String.raw`select set_config(E'search\137path', 'b', true)`)],
    [Q('commit')],
  ],
  [
    'set_config of a name in Unicode',
    [Q('begin'), Q(String.raw`select set_config(U&'search!005fpath' uescape '!', 'b', true)`)],
    [Q('commit')],
  ],
  [
    'a FunctionCall',
    [
      Q('begin'),
      frame(
        'F',
        Buffer.from([0, 0, 2078 >> 8, 2078 & 0xff]),
        0,
        3,
        ...['search_path', 'b', 't'].flatMap(sized),
        0,
      ),
    ],
    [Q('commit')],
  ],
  [
    'UPDATE pg_settings',
    [Q('begin'), Q("update pg_settings set setting = 'b' where name like 'search%'")],
    [Q('rollback')],
  ],
  [
    'set_config of a computed name',
    [Q('begin'), P('select set_config($1, $2, true)'), B('', 'search_path', 'b'), E, S],
    [Q('commit')],
  ],
  [
    'set_config of a name in parts',
    [Q('begin'), Q("select set_config(concat('search', '_path'), 'b', true)")],
    [Q('commit')],
  ],
  ['CALL', [Q('begin'), Q("call public.move_to('b')")], [Q('commit')]],
  [
    'DO with a text in parts',
    [Q('begin'), Q("do $$ begin execute 'set local search' || '_path = b'; end $$")],
    [Q('commit')],
  ],
  ['DO', [Q('begin'), Q('do $$ begin set local search_path = b; end $$')], [Q('commit')]],
  [
    'a savepoint',
    [Q('begin'), Q('savepoint s'), Q('set search_path = b')],
    [Q('rollback to s'), Q('commit')],
  ],
];

describe.each(WAYS)('one client looks names up elsewhere by %s', (_name, before, after) => {
  const choose: Step = [1, ...before];
  const end: readonly Step[] = after.length > 0 ? [[1, ...after]] : [];

  test('and parses what the other one has parsed', async () => {
    await compare([...specimens(0), choose, ...specimens(1), ...end, ...specimens(0)]);
  });

  test('and is the first to parse', async () => {
    await compare([choose, ...specimens(1), ...end, ...specimens(0), ...specimens(1)]);
  });

  test('in one write with all it says', async () => {
    await compare([together(0), [1, ...before, ...SPECIMENS.flat(), ...after], together(0)]);
  });

  test('and executes what it has parsed before', async () => {
    const parsed: Step = [1, P(LITERAL, 'literal'), P(PARAMETER, 'parameter'), S];
    const executed: Step = [1, B('literal'), E, S, B('parameter', '007'), E, S];
    await compare(
      [parsed, together(0), executed, choose, executed, ...end, executed],
      [{ search_path: 'a' }, { search_path: 'a' }],
    );
  });
});

describe.each([
  'reset search_path',
  'reset all',
  'discard all',
  'set search_path to default',
  'set search_path = a',
])('%s', (back) => {
  test.each([
    ['SET', [Q('set search_path = b')]],
    ['SET LOCAL', [Q('begin; set local search_path = b; commit')]],
    ['set_config', [Q("select set_config('search_path', 'b', false)")]],
  ])('ends %s', async (_name, choose) => {
    await compare([together(0), [1, ...choose], together(1), [1, Q(back)], together(1), together(0)]);
    await compare([
      together(0),
      [1, ...choose, ...SPECIMENS.flat(), Q(back), ...SPECIMENS.flat()],
      together(0),
    ]);
  });
});

describe('the startup packet says where names are looked up', () => {
  const PACKETS: readonly (readonly [name: string, packets: Packets])[] = [
    ['by one client', [{ search_path: 'a' }, { search_path: 'b' }]],
    ['in any case', [{ search_path: 'a' }, { Search_Path: 'b' }]],
  ];
  test.each(PACKETS)('%s', async (_name, packets) => {
    await compare([...specimens(0), ...specimens(1), ...specimens(0), ...specimens(1)], packets);
  });

  test.each(['reset search_path', 'reset all', 'discard all', 'set search_path to default'])(
    'and %s returns there',
    async (back) => {
      await compare(
        [together(0), [1, Q('set search_path = a')], together(1), [1, Q(back)], together(1), together(0)],
        [{ search_path: 'a' }, { search_path: 'b' }],
      );
    },
  );

  test('nowhere, or as the login says', async () => {
    await compare(
      [...specimens(0), ...specimens(1), ...specimens(0)],
      [{ search_path: 'a' }, { search_path: '' }],
    );
  });
});

const [A, B_PATH] = [{ search_path: 'a' }, { search_path: 'b' }];

describe('plugins say where names are looked up', () => {
  const PLUGINS: readonly (readonly [name: string, arrivals: readonly Arrival[]])[] = [
    [
      'by pinned schemas',
      ['a', 'b'].map((schema) => ({ fingerprint: schema, plugins: { schemas: [parseSchema(schema)] } })),
    ],
    [
      'by pinned settings',
      [A, B_PATH].map((settings, i) => ({ fingerprint: `${i}`, plugins: { settings } })),
    ],
    ['at each check-out', [A, B_PATH].map((settings) => ({ plugins: { onCheckout: [() => settings] } }))],
    [
      'at each check-out of one client',
      [{ parameters: A }, { parameters: A, plugins: { onCheckout: [() => B_PATH] } }],
    ],
  ];
  test.each(PLUGINS)('%s', async (_name, arrivals) => {
    const all = [...specimens(0), ...specimens(1), ...specimens(0), ...specimens(1)];
    await compare(all, [A, B_PATH], arrivals);
    await compare([together(0), together(1), together(0)], [A, B_PATH], arrivals);
  });

  test.each(['reset search_path', 'discard all'])('and %s returns there', async (back) => {
    const arrivals = ['a', 'b'].map((schema) => ({
      fingerprint: schema,
      plugins: { schemas: [parseSchema(schema)] },
    }));
    await compare([together(0), [1, Q(back)], together(1), together(0)], [A, B_PATH], arrivals);
  });
});

describe('functions', () => {
  test('with a search_path of their own leave nothing', async () => {
    const look: Step = [1, Q('select public.look()'), P('select public.look()', 'look'), B('look'), E, S];
    await compare([together(0), look, ...specimens(1), ...specimens(0)], [A, A]);
  });

  test('that set it although the text does not show it', async () => {
    const functions = {
      catalog: {
        leaves: (text: string): LeftState => (text.includes('turn_to') ? 'state' : 'nothing'),
      },
    };
    const arrivals = [{}, {}].map(() => ({ parameters: A, options: { functions } }));
    const ways: readonly Step[] = [
      [1, Q("select public.turn_to('b')")],
      [1, P("select public.turn_to('b')", 'turn'), B('turn'), E, S],
    ];
    for (const way of ways) {
      await compare([...specimens(0), way, ...specimens(1), ...specimens(0)], [A, A], arrivals);
      await compare([together(0), way, together(1), together(0)], [A, A], arrivals);
    }
  });
});

describe('functions that set it for their transaction', () => {
  const sources = {
    go_to: "begin perform set_config('search_path', name, true); end",
    go_local: 'begin set local search_path = b; end',
    go_on: "begin perform public.go_to('b'); end",
  };
  const catalog = FunctionCatalog.of(
    Object.entries(sources).map(([name, source], index) => [`${index}`, name, null, null, `s${source}`]),
  );
  const arrivals = [{}, {}].map(() => ({ parameters: A, options: { functions: { catalog, outdate() {} } } }));

  beforeAll(async () => {
    for (const [name, source] of Object.entries(sources))
      await postgres.sql(
        `create function public.${name}(name text) returns void language plpgsql as $$ ${source} $$`,
        database,
      );
  });

  test.each(Object.keys(sources))('%s', async (name) => {
    const call = `select public.${name}('b')`;
    for (const way of [[Q(call)], [P(call, 'go'), B('go'), E, S], [P(call), B(''), E, S]]) {
      const choose: Step = [1, Q('begin'), ...way];
      const end: Step = [1, Q('commit'), C('go'), S];
      await compare(
        [...specimens(0), choose, ...specimens(1), end, ...specimens(1), ...specimens(0)],
        [A, A],
        arrivals,
      );
      await compare([choose, ...specimens(1), end, together(0), together(1)], [A, A], arrivals);
    }
  });
});

describe('sessions share what they parse under the same search_path', () => {
  /** Statements that a connection has for its clients. */
  const parsed = Q(
    "select count(*) from pg_prepared_statements where name like 'postern%' and statement like '%f()%'",
  );
  const use = (client: RawClient): Promise<string[]> => say(client, P(RESULT, 'result'), B('result'), E, S);

  async function counted(first: Arrival, next: Arrival, before: readonly Buffer[] = []): Promise<string[]> {
    shared = sharedSessions(postgres, database, 1);
    const clients = [await shared.connect(first), await shared.connect(next)];
    const told: string[] = [];
    for (const client of clients) {
      if (before.length > 0) await say(client, ...before);
      told.push(...(await use(client)));
    }
    return [...told, ...(await say(clients[0] as RawClient, parsed))].filter((text) => !text.startsWith('S'));
  }

  test('by the startup packet', async () => {
    expect(await counted({ parameters: B_PATH }, { parameters: B_PATH })).toEqual(['2', '2', '1']);
    await shared?.close();
    expect(await counted({ parameters: A }, { parameters: B_PATH })).toEqual(['a', '2', '2']);
  });

  test.each([
    ['SET', [Q('set search_path = b')]],
    ['SET SCHEMA', [Q("set schema 'b'")]],
    ['set_config', [Q("select set_config('search_path', 'b', false)")]],
    ['SET by a statement', [P('set search_path = b'), B(''), E, S]],
    [
      'SET LOCAL in an earlier transaction',
      [Q('set search_path = b'), Q('begin; set local search_path = a; commit')],
    ],
  ])('by %s', async (_name, before) => {
    expect(await counted({}, {}, before)).toEqual(['2', '2', '1']);
  });
});

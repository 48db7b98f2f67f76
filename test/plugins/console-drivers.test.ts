/** The console as drivers use it: the messages that they send, recorded from each, and the drivers that are installed. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client } from 'pg';
import postgresJs from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pythonWith } from '../support/drivers.ts';
import { startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { direct, openAs } from '../support/raw.ts';
import { RawClient, fieldsOf, message, startup } from '../support/raw-client.ts';
import type { Received } from '../support/raw-client.ts';

let running: Operated;

beforeAll(async () => {
  running = await startOperated(sharedPostgres(), { orders: { pool: { mode: 'transaction' } } });
  await (await running.client()).end();
});
afterAll(() => running.gateway.stop());

async function logIn(parameters: Record<string, string> = {}): Promise<readonly [RawClient, Received[]]> {
  const client = await RawClient.connect(running.port);
  client.send(startup({ user: '_', database: 'pgbouncer', ...parameters }));
  await client.until('R');
  client.send(message('p', `${running.operator}\0`));
  return [client, await client.until('Z')];
}

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const words = (values: readonly number[]): Buffer =>
  Buffer.concat([word(values.length), ...values.map(word)]);
const query = (sql: string): Buffer => message('Q', `${sql}\0`);
const parse = (sql: string, name = '', types = '\0\0'): Buffer => message('P', `${name}\0${sql}\0${types}`);
/** `given`: text parameters. */
function bind(name = '', formats: readonly number[] = [], given: readonly string[] = []): Buffer {
  const values = given.map((text) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(Buffer.byteLength(text));
    return Buffer.concat([length, Buffer.from(text)]);
  });
  const parameters = [words(given.map(() => 0)), word(given.length), ...values];
  return message('B', Buffer.concat([Buffer.from(`\0${name}\0`), ...parameters, words(formats)]));
}
const describeStatement = (name = ''): Buffer => message('D', `S${name}\0`);
const describePortal = message('D', 'P\0');
function execute(rows = 0): Buffer {
  const body = Buffer.alloc(5);
  body.writeInt32BE(rows, 1);
  return message('E', body);
}
const [sync, flush] = [message('S'), message('H')];

/** What comes up to the last of so many ReadyForQuery. */
async function said(client: RawClient, bytes: readonly Buffer[], ready: number): Promise<Received[]> {
  client.send(...bytes);
  const all: Received[] = [];
  for (let left = ready; left > 0;) {
    const next = await client.message();
    all.push(next);
    if (next.type === 'Z') left -= 1;
  }
  return all;
}

/** The types of messages, in a run of rows only one; behind `Z` its status. */
const typesOf = (all: readonly Received[]): string =>
  all
    .map(({ type, body }) => (type === 'Z' ? `Z${body.toString()}` : type))
    .join('')
    .replace(/D+/g, 'D');

/** Binary wherever it is not text, as pgx and pgjdbc ask for the columns of SHOW POOLS. */
const POOLS = [0, 0, ...Array.from({ length: 13 }, () => 1), 0, 0];
const HSTORE = `SELECT
    typname AS name, oid, typarray AS array_oid,
    oid::regtype::text AS regtype, typdelim AS delimiter
FROM pg_type t
WHERE t.oid = to_regtype($1)
ORDER BY t.oid
`;
const HSTORE_2 = `SELECT t.oid, typarray
FROM pg_type t JOIN pg_namespace ns
    ON typnamespace = ns.oid
WHERE typname = 'hstore';
`;
const ARRAYS = `
      select b.oid, b.typarray
      from pg_catalog.pg_type a
      left join pg_catalog.pg_type b on b.oid = a.typelem
      where a.typcategory = 'A'
      group by b.oid, b.typarray
      order by b.oid
    `;
const RESET = 'SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;';
const CACHED = 'stmtcache_402d7972a270f0821261ce49be09db898b41913ce688d022';
const pools = 'SHOW POOLS';

/** Each group is answered before the next one is sent. */
type Step = readonly [messages: readonly Buffer[], answered: string];

const DRIVERS: Readonly<Record<string, readonly Step[]>> = {
  'pgx 5, its default: cached statements': [
    [[query('-- ping')], 'IZI'],
    [[parse(pools, CACHED), describeStatement(CACHED), sync], '1tTZI'],
    [[bind(CACHED, POOLS), execute(), sync], '2DCZI'],
    [[bind(CACHED, POOLS), execute(), sync], '2DCZI'],
    [[query('begin')], 'CZT'],
    [[query('commit')], 'CZI'],
  ],
  'pgx 5, cached descriptions': [
    [[parse(pools), describeStatement(), sync], '1tTZI'],
    [[parse(pools), bind('', POOLS), describePortal, execute(), sync], '12TDCZI'],
  ],
  'pgjdbc 42, a statement that has run five times, then with autocommit off': [
    [[parse(pools), bind(), describePortal, execute(), sync], '12TDCZI'],
    [[parse(pools, 'S_1'), bind('S_1'), describePortal, execute(), sync], '12TDCZI'],
    [[bind('S_1', POOLS), execute(), sync], '2DCZI'],
    [[parse("SET SESSION search_path TO 'x'"), bind(), describePortal, execute(1), sync], '12nCZI'],
    [[parse('SHOW TRANSACTION ISOLATION LEVEL'), bind(), describePortal, execute(), sync], '12TDCZI'],
    [[parse(''), bind(), describePortal, execute(), sync], '12nIZI'],
    [[parse('BEGIN'), bind(), execute(), bind('S_1', POOLS), execute(), sync], '12C2DCZT'],
    [[parse('COMMIT', 'S_2'), bind('S_2'), execute(1), sync], '12CZI'],
  ],
  'psycopg 3: a transaction around everything, binary, prepared at the sixth time': [
    [[query('BEGIN')], 'CZT'],
    [[parse(pools), bind('', [1]), describePortal, execute(), sync], '12TDCZT'],
    [[query('COMMIT')], 'CZI'],
    [[parse('SHOW STATS', '_pg3_0'), sync], '1ZI'],
    [[bind('_pg3_0', [0]), describePortal, execute(), sync], '2TDCZI'],
    [[query('DEALLOCATE _pg3_0')], 'CZI'],
  ],
  'asyncpg: described before it is bound, all in binary, and the reset of its pool': [
    [
      [parse('SHOW STATS', '__asyncpg_stmt_1__'), describeStatement('__asyncpg_stmt_1__'), flush, sync],
      '1tTZI',
    ],
    [[bind('__asyncpg_stmt_1__', [1]), execute(), sync], '2DCZI'],
    [[query('BEGIN;')], 'CZT'],
    [[bind('__asyncpg_stmt_1__', [1]), execute(1), sync], '2DsZT'],
    [[query('COMMIT;')], 'CZI'],
    [[query(RESET)], 'TDCCCCZI'],
  ],
  'postgres.js: it looks for types first': [
    [[parse(ARRAYS, 'x1'), describeStatement('x1'), bind('x1'), execute(), sync], '1tT2CZI'],
    [[parse(pools, 'x2'), describeStatement('x2'), bind('x2'), execute(), sync], '1tT2DCZI'],
    [[query('begin ')], 'CZT'],
    [[parse('commit', 'x4'), describeStatement('x4'), bind('x4'), execute(), sync], '1tn2CZI'],
  ],
  'node-postgres: several statements in one text': [
    [[query('BEGIN; SHOW VERSION; COMMIT')], 'CTDCCZI'],
    [[parse(pools, 'x'), bind('x', [0]), describePortal, execute(), sync], '12TDCZI'],
  ],
  'psycopg 2: what set_session sends': [
    [[query("SET default_transaction_isolation TO 'READ COMMITTED'")], 'CZI'],
    [[query("SET default_transaction_read_only TO 'off'")], 'CZI'],
  ],
  'SQLAlchemy 2: what it asks when it has connected, by psycopg and psycopg2': [
    [[query('BEGIN')], 'CZT'],
    [[query('select pg_catalog.version()')], 'TDCZT'],
    [[query('select current_schema()')], 'TDCZT'],
    [[query('show transaction isolation level')], 'TDCZT'],
    [[query('show standard_conforming_strings')], 'TDCZT'],
    [[query('SAVEPOINT "_pg3_1"')], 'CZT'],
    [
      [parse(HSTORE, '', '\0\x01\0\0\0\0'), bind('', [0], ['hstore']), describePortal, execute(), sync],
      '12TCZT',
    ],
    [[query('RELEASE "_pg3_1"')], 'CZT'],
    [[query(HSTORE_2)], 'TCZT'],
    [[query('ROLLBACK')], 'CZI'],
    [[query(';')], 'IZI'],
    [[query('SELECT 1')], 'TDCZI'],
  ],
};

describe.each(Object.entries(DRIVERS))('%s', (_, steps) => {
  test('is answered as PostgreSQL would', async () => {
    const [client] = await logIn();
    for (const [bytes, answered] of steps) {
      const all = await said(client, bytes, 1);
      expect([bytes.map(String), typesOf(all)]).toEqual([bytes.map(String), answered]);
    }
    client.destroy();
  });
});

test('a login tells what drivers go by: a version of PostgreSQL, and that it is no standby', async () => {
  const [client, all] = await logIn({ application_name: 'it', DateStyle: 'ISO', client_encoding: 'LATIN1' });
  const told = all
    .filter(({ type }) => type === 'S')
    .map(({ body }) => body.toString().split('\0').slice(0, 2) as [string, string]);
  expect(Object.fromEntries(told)).toMatchObject({
    application_name: 'it',
    client_encoding: 'UTF8',
    DateStyle: 'ISO',
    default_transaction_read_only: 'off',
    in_hot_standby: 'off',
    integer_datetimes: 'on',
    server_version: expect.stringMatching(/^1\d\.0 \(Postern \d+\.\d+\.\d+\)$/) as string,
    standard_conforming_strings: 'on',
  });
  client.destroy();
});

test('each column is described and sent in the format that was asked for, or the Bind is refused', async () => {
  const [client] = await logIn();
  const all = await said(client, [parse(pools), bind('', POOLS), describePortal, execute(), sync], 1);
  const description = all.find(({ type }) => type === 'T')?.body ?? Buffer.alloc(0);
  const formats = [...Array(POOLS.length).keys()].reduce<{ at: number; found: number[] }>(
    ({ at, found }) => {
      const end = description.indexOf(0, at) + 19;
      return { at: end, found: [...found, description.readInt16BE(end - 2)] };
    },
    { at: 2, found: [] },
  );
  expect(formats.found).toEqual(POOLS);
  for (const [wrong, code] of [
    [[1, 1], '08P01'],
    [[2], '22023'],
  ] as const) {
    const [, error] = await said(client, [parse(pools), bind('', wrong), sync], 1);
    expect(fieldsOf(error?.body ?? Buffer.alloc(0))).toMatchObject({ S: 'ERROR', C: code });
  }
  const [, surplus] = await said(client, [parse(pools), bind('', [], ['x']), sync], 1);
  expect(fieldsOf(surplus?.body ?? Buffer.alloc(0))).toMatchObject({ C: '08P01' });
  const [several] = await said(client, [parse('SHOW STATE; SHOW LISTS'), sync], 1);
  expect(fieldsOf(several?.body ?? Buffer.alloc(0))).toMatchObject({ C: '42601' });
  client.destroy();
});

describe('drivers for Node', () => {
  const url = (): string => `postgres://_:${running.operator}@127.0.0.1:${running.port}/pgbouncer`;

  test('node-postgres', async () => {
    const client = new Client(url());
    await client.connect();
    const several = (await client.query('BEGIN; SHOW VERSION; COMMIT')) as unknown as { command: string }[];
    expect(several.map(({ command }) => command)).toEqual(['BEGIN', 'SHOW', 'COMMIT']);
    expect((await client.query({ text: 'SELECT 1 AS one', name: 'n' })).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  test.each([{}, { prepare: false }, { fetch_types: false }])('postgres.js with %j', async (options) => {
    const sql = postgresJs(url(), { max: 1, ...options });
    expect((await sql`SHOW LISTS`).find(({ list }) => list === 'used_clients')).toBeDefined();
    expect(await sql.begin((one) => one`SELECT 1 AS one`)).toEqual([{ one: 1 }]);
    await sql.end();
  });
});

/** Programs in Python, one line of JSON each. */
const PROGRAMS = {
  psycopg: `
import json, os, psycopg
found = {}
with psycopg.connect(os.environ["CONSOLE"]) as conn:
    for binary in (False, True):
        rows = conn.cursor(binary=binary).execute("SHOW STATS_TOTALS").fetchall()
        found[str(binary)] = [str(value) for value in rows[0]]
    with conn.transaction():
        found["version"] = conn.execute("SHOW VERSION").fetchone()[0]
    found["server"] = conn.info.server_version
with psycopg.connect(os.environ["CONSOLE"], autocommit=True) as conn:
    for _ in range(8):
        conn.execute("SHOW LISTS").fetchall()
    with conn.pipeline():
        found["lists"] = len(conn.execute("SHOW LISTS").fetchall())
print(json.dumps(found))`,
  asyncpg: `
import asyncio, json, os, asyncpg
async def main():
    found = {}
    pool = await asyncpg.create_pool(os.environ["CONSOLE"], min_size=1, max_size=1)
    for binary in ("True", "False"):
        async with pool.acquire() as conn:
            found[binary] = [str(value) for value in (await conn.fetch("SHOW STATS_TOTALS"))[0].values()]
            async with conn.transaction():
                found["version"] = await conn.fetchval("SHOW VERSION")
            found["server"] = conn.get_server_version().major * 10000
            found["lists"] = len(await conn.fetch("SHOW LISTS"))
    await pool.close()
    print(json.dumps(found))
asyncio.run(main())`,
} as const;

describe.each(['psycopg', 'asyncpg'] as const)('%s', (driver) => {
  const python = pythonWith(driver);

  test.skipIf(python === undefined)(
    `works with its defaults${python === undefined ? `: skipped, no Python here has ${driver}` : ''}`,
    async () => {
      const CONSOLE = `postgres://_:${running.operator}@127.0.0.1:${running.port}/pgbouncer`;
      const env = { ...process.env, CONSOLE };
      const { stdout } = await promisify(execFile)(python ?? '', ['-c', PROGRAMS[driver]], { env });
      const found = JSON.parse(stdout) as Record<string, unknown>;
      expect(found['True']).toEqual(found['False']);
      expect(found).toMatchObject({ server: 140_000, version: expect.stringContaining('Postern') as string });
      expect(found['lists']).toBeGreaterThan(10);
    },
  );
});

test('numbers and texts have the binary form that PostgreSQL gives them', async () => {
  const { binary } = await import('../../plugins/console/types.ts');
  const server = direct(await openAs(sharedPostgres(), 'postgres', 'reader'));
  const ints = ['0', '1', '-1', '9999', '10000', '2147483647'];
  const large = ['100000000', '123456789012345678901234567890', '99999999', '-10002'];
  const values = [
    ...[...ints, ...large].map((value) => ['numeric', value] as const),
    ...[...ints, '-9007199254740993'].map((value) => ['int8', value] as const),
    ...ints.map((value) => ['int4', value] as const),
    ...['', 'ä€😀'].map((value) => ['text', value] as const),
    ...['t', 'f'].map((value) => ['bool', value] as const),
  ];
  server.send(
    ...values.flatMap(([type, value]) => [parse(`select '${value}'::${type}`), bind('', [1]), execute()]),
    sync,
  );
  await expect.poll(() => server.messages.at(-1)?.type).toBe('Z');
  const rows = server.messages.filter(({ type }) => type === 'D').map(({ body }) => body.subarray(6));
  expect(values.map(([type, value]) => [type, value, binary(type, value)])).toEqual(
    values.map(([type, value], place) => [type, value, rows[place]]),
  );
  server.close();
});

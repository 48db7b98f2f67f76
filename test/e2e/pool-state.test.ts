/** Transactions on shared connections where the gateway looks what each of them has left: what ties a client to its connection. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { RawClient, message } from '../support/raw-client.ts';

const postgres = sharedPostgres();
let database: string;
let running: RunningGateway;

beforeAll(async () => {
  database = await freshDatabase();
  const pool = { mode: 'transaction', size: 3, queueTimeout: '20s', idleTimeout: '300ms' } as const;
  const entry = (more: object) => databaseOf(postgres, { database, pool: { ...pool, ...more } });
  running = await startGateway({
    databases: {
      state: entry({ detect: 'state' }),
      always: entry({ reset: 'always' }),
      tags: entry({}),
      one: entry({ detect: 'state', size: 1 }),
      pinning: entry({ unknownSettings: 'pin', size: 1 }),
    },
    plugins: [mapTo('writer')],
  });
});
afterAll(() => running.gateway.stop());

async function connect(entry: string): Promise<Client> {
  const address = { host: '127.0.0.1', port: running.port, user: '_', password: GOOD_TOKEN, database: entry };
  const client = new Client(address);
  client.on('error', () => {});
  await client.connect();
  return client;
}

const pidOf = async (client: Client): Promise<number> =>
  (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid ?? 0;
const locks = async (): Promise<number> =>
  (
    await postgres.sql(
      `select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = '${database}')`,
    )
  ).length;
const told = (why: string): number =>
  running.lines('the server connection stays with the session').filter((line) => line['why'] === why).length;

describe.each(['state', 'always'])(
  'with %s, what no tag shows stays with its client, told once:',
  (entry) => {
    test.each([
      [
        'advisory lock',
        'select pg_advisory_lock(42)',
        "select count(*)::int as n from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
      ],
      [
        'LISTEN',
        "do $$ begin execute 'listen news'; end $$",
        'select count(*)::int as n from pg_listening_channels()',
      ],
      [
        'PREPARE',
        "do $$ begin execute 'prepare p as select 1'; end $$",
        'select count(*)::int as n from pg_prepared_statements where from_sql',
      ],
      [
        'temporary objects',
        'do $$ begin create temp table kept as select 1; end $$',
        'select count(*)::int as n from pg_temp.kept',
      ],
    ])('%s', async (why, leave, look) => {
      const before = told(why);
      const [client, other] = [await connect(entry), await connect(entry)];
      await client.query(leave);
      for (let i = 0; i < 5; i += 1) {
        await Promise.all([other.query('select 1'), client.query('select 1')]);
        expect((await client.query(look)).rows).toEqual([{ n: 1 }]);
      }
      const pid = await pidOf(client);
      for (let i = 0; i < 5; i += 1) expect(await pidOf(other)).not.toBe(pid);
      expect(told(why) - before).toBe(1);
      await Promise.all([client.end(), other.end()]);
      await expect.poll(locks).toBe(0);
    });
  },
);

test('what ends with its transaction ties nobody: twelve clients share one connection', async () => {
  const clients = await Promise.all(Array.from({ length: 12 }, () => connect('one')));
  const pids = new Set<number>();
  const backends = (): Promise<unknown[]> =>
    postgres.sql(`select pid from pg_stat_activity where datname = '${database}' and usename = 'writer'`);
  // A login needs no connection of a server that is known, and those that other tests left end with their idle time.
  await expect.poll(backends).toEqual([]);
  for (let round = 0; round < 5; round += 1) {
    await Promise.all(
      clients.map(async (client, i) => {
        await client.query('begin; select pg_advisory_xact_lock(1)');
        const pid = await pidOf(client);
        pids.add(pid);
        expect(await backends()).toEqual([{ pid }]);
        await client.query('commit');
        const { rows } = await client.query<{ echo: string }>({
          name: 'mine',
          text: 'select $1::text as echo',
          values: [`${i}`],
        });
        expect(rows[0]?.echo).toBe(`${i}`);
      }),
    );
  }
  // Workers pass it to each other: then it is another one each time.
  if (workersOf() === 1) expect(pids.size).toBe(1);
  await Promise.all(clients.map((client) => client.end()));
});

test('a client that leaves while it is looked at leaves nothing, and its lock is free', async () => {
  for (let i = 0; i < 30; i += 1) {
    const { client } = await logIn(await RawClient.connect(running.port), { database: 'one' });
    client.send(message('Q', 'select pg_advisory_lock(43)\0'));
    if (i % 3 > 0) await client.until('Z');
    if (i % 2 > 0) client.send(message('X'));
    client.destroy();
  }
  await expect.poll(locks).toBe(0);
  const after = await connect('one');
  expect((await after.query('select pg_try_advisory_lock(43) as free')).rows).toEqual([{ free: true }]);
  await after.end();
});

test('the unnamed statement is not lost to the look', async () => {
  const { client } = await logIn(await RawClient.connect(running.port), { database: 'one' });
  client.send(message('P', '\0select 17\0\0\0'), message('S'));
  await client.until('Z');
  for (let i = 0; i < 3; i += 1) {
    client.send(message('B', '\0\0\0\0\0\0\0\0'), message('E', '\0\0\0\0\0'), message('S'));
    const answers = await client.until('Z');
    expect(
      answers
        .find(({ type }) => type === 'D')
        ?.body.subarray(6)
        .toString(),
    ).toBe('17');
  }
  client.destroy();
});

test('a connection that dies while it is looked at, or kept, ends its session with 08006 or its own word', async () => {
  const client = await connect('one');
  await client.query('select pg_advisory_lock(44)');
  const gone = new Promise<unknown>((resolve) => client.once('error', resolve));
  await postgres.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}' and usename = 'writer'`,
  );
  expect(await gone).toMatchObject({ code: '57P01' });
  const next = await connect('one');
  expect((await next.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await next.end();
});

test('a SET follows its client; one that no text shows is gone after its transaction, or keeps the connection', async () => {
  const client = await connect('tags');
  const memory = async (): Promise<unknown> => (await client.query('show work_mem')).rows[0];
  const before = await memory();
  await client.query("do $$ begin set work_mem = '77MB'; end $$");
  for (let i = 0; i < 5; i += 1) expect(await memory()).toEqual(before);
  await client.query("set work_mem = '77MB'");
  for (let i = 0; i < 5; i += 1) expect(await memory()).toEqual({ work_mem: '77MB' });
  await client.end();
  const kept = await connect('pinning');
  await kept.query("do $$ begin set work_mem = '77MB'; end $$");
  for (let i = 0; i < 5; i += 1)
    expect((await kept.query('show work_mem')).rows).toEqual([{ work_mem: '77MB' }]);
  await kept.end();
  const next = await connect('pinning');
  expect((await next.query('show work_mem')).rows[0]).toEqual(before);
  await next.end();
});

/** Many clients on few server connections: what each of them may still rely on, and what none may see of another. */
import type { Client } from 'pg';
import postgresJs from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from '../bench/companion.ts';
import { GOOD_TOKEN, databaseOf, mapTo, pgClient, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RawClient, cancelRequest } from '../support/raw-client.ts';

const postgres = sharedPostgres();
const SIZE = 3;
let database: string;
let running: RunningGateway;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    'create table t (n int); grant all on t to writer; grant create on schema public to writer',
    database,
  );
  const pool = { mode: 'transaction', size: SIZE, queueTimeout: '60s', idleTimeout: '300ms' } as const;
  running = await startGateway({
    databases: {
      few: databaseOf(postgres, { database, pool }),
      hasty: databaseOf(postgres, { database, pool: { ...pool, queueTimeout: '3s' } }),
    },
    plugins: [mapTo('writer')],
  });
});
afterAll(() => running.gateway.stop());

const address = () => ({
  host: '127.0.0.1',
  port: running.port,
  user: '_',
  password: GOOD_TOKEN,
  database: 'few',
});

async function connect(database = 'few'): Promise<Client> {
  const client = pgClient(running, database);
  await client.connect();
  return client;
}

const pidOf = async (client: Client): Promise<number> =>
  (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid ?? 0;
const backends = async (): Promise<number> =>
  Number(
    (
      await postgres.sql(
        `select count(*) as n from pg_stat_activity where datname = '${database}' and usename = 'writer'`,
      )
    )[0]?.['n'],
  );

test('thirty clients share three server connections, each gets its own answers, none waits for ever', async () => {
  const clients = await Promise.all(Array.from({ length: 30 }, () => connect()));
  const answers = await Promise.all(
    clients.map(async (client, i) => {
      const seen = [];
      for (let round = 0; round < 10; round += 1) {
        const { rows } = await client.query<{ echo: string }>('select $1::text as echo', [`${i}.${round}`]);
        seen.push(rows[0]?.echo);
      }
      return seen;
    }),
  );
  answers.forEach((seen, i) =>
    expect(seen).toEqual(Array.from({ length: 10 }, (_, round) => `${i}.${round}`)),
  );
  expect(await backends()).toBeLessThanOrEqual(SIZE);
  await Promise.all(clients.map((client) => client.end()));
});

test('a transaction keeps its connection, and is rolled back whole with its client', async () => {
  const [one, two] = [await connect(), await connect()];
  await one.query('begin');
  const pid = await pidOf(one);
  await one.query('insert into t values (1)');
  for (let i = 0; i < 5; i += 1) expect(await pidOf(two)).not.toBe(pid);
  expect(await pidOf(one)).toBe(pid);
  one.connection.stream.destroy();
  await expect.poll(async () => (await two.query('select * from t')).rowCount).toBe(0);
  await two.end();
});

test('prepared statements by name work wherever their transaction goes', async () => {
  const clients = await Promise.all(Array.from({ length: 8 }, () => connect()));
  await Promise.all(
    clients.map(async (client, i) => {
      for (let round = 0; round < 20; round += 1) {
        const text = `select ${i % 3} + $1::int as sum`;
        const { rows } = await client.query<{ sum: number }>({ name: 'mine', text, values: [round] });
        expect(rows[0]?.sum).toBe((i % 3) + round);
      }
    }),
  );
  await Promise.all(clients.map((client) => client.end()));
  const sql = postgresJs({ ...address(), username: '_', max: 10, idle_timeout: 1 });
  const sums = await Promise.all(
    Array.from({ length: 60 }, (_, i) => sql<{ sum: number }[]>`select ${i}::int + 1 as sum`),
  );
  expect(sums.map(([row]) => row?.sum)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
  await sql.end();
});

test('DEALLOCATE by name is about the names of the client, wherever its statement is', async () => {
  const [one, two] = [await connect(), await connect()];
  for (const client of [one, two]) await client.query({ name: 'Mine', text: 'select 1 as n' });
  await one.query('deallocate "Mine"');
  await expect(one.query('deallocate "Mine"')).rejects.toMatchObject({ code: '26000' });
  await expect(one.query({ name: 'Mine', text: 'select 1 as n' })).rejects.toMatchObject({ code: '26000' });
  await two.query('begin');
  await two.query('select broken').catch(() => {});
  await expect(two.query('deallocate prepare "Mine"')).rejects.toMatchObject({ code: '25P02' });
  await two.query('rollback');
  expect((await two.query({ name: 'Mine', text: 'select 1 as n' })).rows).toEqual([{ n: 1 }]);
  const extended = { text: 'deallocate "Mine"', queryMode: 'extended' };
  expect((await two.query(extended)).command).toBe('DEALLOCATE');
  await expect(two.query({ name: 'Mine', text: 'select 1 as n' })).rejects.toMatchObject({ code: '26000' });
  await Promise.all([one.end(), two.end()]);
});

test('a statement whose result has changed is refused until its client prepares it anew, as PostgreSQL refuses it', async () => {
  const client = await connect();
  await postgres.sql('drop table if exists c; create table c (n int); grant all on c to writer', database);
  await client.query({ name: 'c', text: 'select * from c' });
  await postgres.sql("alter table c add column more text default 'x'", database);
  for (let i = 0; i < 2 * SIZE; i += 1) {
    await expect(client.query({ name: 'c', text: 'select * from c' })).rejects.toMatchObject({
      code: '0A000',
      message: 'cached plan must not change result type',
      routine: 'RevalidateCachedQuery',
    });
  }
  for (let i = 0; i < 2 * SIZE; i += 1)
    expect((await client.query({ name: 'c anew', text: 'select * from c' })).fields).toHaveLength(2);
  await client.end();
});

test('TimeZone and its like follow a client; what another session set is never seen', async () => {
  const [one, two] = [await connect(), await connect()];
  await one.query("set timezone to 'Asia/Tokyo'; set work_mem to '77MB'");
  for (let i = 0; i < 12; i += 1) {
    const [mine, theirs] = await Promise.all([
      one.query('show timezone'),
      two.query("select current_setting('timezone') as tz, current_setting('work_mem') as mem"),
    ]);
    expect(mine.rows[0]).toEqual({ TimeZone: 'Asia/Tokyo' });
    expect(theirs.rows[0]).not.toMatchObject({ tz: 'Asia/Tokyo' });
    expect(theirs.rows[0]).not.toMatchObject({ mem: '77MB' });
  }
  await Promise.all([one.end(), two.end()]);
});

test('LISTEN keeps the connection with its session, and says so once in the log', async () => {
  const [listener, speaker] = [await connect(), await connect()];
  const heard: unknown[] = [];
  listener.on('notification', ({ payload }) => heard.push(payload));
  await listener.query('listen news');
  const pid = await pidOf(listener);
  for (let i = 0; i < 3; i += 1) expect(await pidOf(listener)).toBe(pid);
  await speaker.query("notify news, 'hello'");
  await expect.poll(() => heard).toEqual(['hello']);
  expect(running.lines('the server connection stays with the session')).toHaveLength(1);
  await Promise.all([listener.end(), speaker.end()]);
});

test('a client that finds no free connection in time reads 53300, and its session goes on', async () => {
  const busy = await Promise.all(Array.from({ length: SIZE }, () => connect('hasty')));
  const waiting = await connect('hasty');
  await Promise.all(busy.map((client) => client.query('begin')));
  await expect(waiting.query('select 1')).rejects.toMatchObject({ code: '53300' });
  await expect(waiting.query('select $1::int', [1])).rejects.toMatchObject({ code: '53300' });
  await busy[0]?.query('commit');
  expect((await waiting.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await Promise.all([...busy, waiting].map((client) => client.end()));
});

test('a cancel reaches a session that waits for a connection', async () => {
  const busy = await Promise.all(Array.from({ length: SIZE }, () => connect()));
  const waiting = await connect();
  await Promise.all(busy.map((client) => client.query('begin')));
  const over = new AbortController();
  const query = waiting
    .query('select 1')
    .catch((error: unknown) => error)
    .finally(() => over.abort());
  const { processID, secretKey } = waiting as unknown as { processID: number; secretKey: number };
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey);
  // One that comes before the statement hits nothing.
  while (!over.signal.aborted) {
    const canceling = await RawClient.connect(running.port);
    await canceling.send(cancelRequest(processID, secret)).rest();
  }
  expect(await query).toMatchObject({ code: '57014' });
  await Promise.all(busy.map((client) => client.query('commit')));
  expect((await waiting.query('select 2 as two')).rows).toEqual([{ two: 2 }]);
  await Promise.all([...busy, waiting].map((client) => client.end()));
});

test('nothing is left when everybody has gone', async () => {
  await expect.poll(backends).toBe(0);
});

describeWith('pgbench', (pgbench) => {
  test.each(['simple', 'extended', 'prepared'])(
    'runs 40 clients on three connections in %s mode',
    async (mode) => {
      const direct = ['-h', postgres.host, '-p', String(postgres.port), '-U', 'writer', database];
      await run(pgbench, ['-i', '-q', ...direct], { env: { PGPASSWORD: postgres.passwords.writer } });
      const through = ['-h', '127.0.0.1', '-p', String(running.port), '-U', '_', 'few'];
      const out = await run(pgbench, ['-n', '-M', mode, '-c', '40', '-j', '2', '-t', '20', ...through], {
        env: { PGPASSWORD: GOOD_TOKEN, PGSSLMODE: 'disable' },
      });
      expect(out).toMatch(/transactions actually processed: 800\/800/);
      expect(out).toMatch(/failed transactions: 0 /);
    },
    120_000,
  );
});

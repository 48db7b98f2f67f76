/** node-postgres as its users write it. */
import { readFileSync } from 'node:fs';
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import type { Cases, Place } from './index.ts';

/** Its version. */
export const version = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.resolve('pg')), 'utf8')) as {
    version: string;
  }
).version;

/** Gives a client that is logged in, and closes it afterwards. */
async function using<T>(
  place: Place,
  use: (client: Client) => Promise<T>,
  more: ClientConfig = {},
): Promise<T> {
  const client = new Client({ ...place, ...more });
  client.on('error', () => {});
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

async function value(client: Client, text: string, values: unknown[] = []): Promise<unknown> {
  const { rows } = await client.query<unknown[]>({ text, values, rowMode: 'array' });
  return rows[0]?.[0];
}

const stateOf = (error: unknown): unknown => (error as { code?: string }).code ?? String(error);

/** What it gives, or its SQLSTATE. */
const outcome = (work: Promise<unknown>): Promise<unknown> => work.catch(stateOf);

async function shown(client: Client, times = 5): Promise<unknown[]> {
  const seen = [];
  for (let i = 0; i < times; i += 1)
    seen.push(
      await value(
        client,
        `select concat_ws(' ', current_setting('search_path'), current_setting('statement_timeout'), current_setting('TimeZone'), current_setting('work_mem'))`,
      ),
    );
  return seen;
}

/** A statement has one name in each client. */
const named = (client: Client, text: string, values: unknown[]): Promise<unknown> =>
  outcome(client.query<unknown[]>({ name: text, text, values, rowMode: 'array' }).then(({ rows }) => rows));

/** Each is a case. */
export const cases: Cases = {
  startup: (place) =>
    using(place, (client) => shown(client), {
      statement_timeout: 7_000,
      options: '-c search_path=app -c TimeZone=Asia/Tokyo -c work_mem=3MB',
    }),
  settings: (place) =>
    using(place, async (client) => {
      await client.query("set search_path = app; set time zone 'Asia/Tokyo'");
      await client.query("set statement_timeout = '7s'");
      await client.query('set session work_mem = 3072');
      const seen = await shown(client);
      await client.query('reset work_mem');
      return [...seen, ...(await shown(client, 1))];
    }),
  prepared: (place) =>
    using(place, (one) =>
      using(place, async (other) => {
        const seen = [];
        for (const divisor of [1, 2, 0, 4])
          for (const client of [one, other])
            seen.push(await named(client, 'select 8 / $1::int, $2::text', [divisor, 'x']));
        return seen;
      }),
    ),
  changed_table: (place) =>
    using(place, (one) =>
      using(place, async (other) => {
        await other.query('drop table if exists changed; create table changed (a int, b text)');
        await other.query("insert into changed values (1, '2')");
        const seen = [await named(one, 'select * from changed where a = $1', [1])];
        await other.query('alter table changed add c int default 3');
        for (let i = 0; i < 3; i += 1) seen.push(await named(one, 'select * from changed where a = $1', [1]));
        return seen;
      }),
    ),
  transactions: (place) =>
    using(place, async (client) => {
      await client.query('drop table if exists kept; create table kept (n int)');
      const seen = [];
      await client.query('begin isolation level serializable read only');
      seen.push(
        await value(client, 'show transaction_isolation'),
        await outcome(client.query('insert into kept values (1)')),
      );
      await client.query('rollback');
      await client.query('begin');
      await client.query(
        'insert into kept values (2); savepoint a; insert into kept values (3); rollback to a',
      );
      await client.query('commit');
      seen.push(
        await value(client, 'show transaction_isolation'),
        await value(client, 'select sum(n)::int from kept'),
      );
      return seen;
    }),
  cancel: (place) =>
    using(place, async (client) => {
      const seen = [];
      await client.query("begin; set local statement_timeout = '100ms'");
      seen.push(await outcome(client.query('select pg_sleep(30)')));
      await client.query('rollback');
      const sleeps = outcome(client.query('select pg_sleep(30)'));
      await new Promise((resolve) => {
        setTimeout(resolve, 200);
      });
      const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
      const canceller = new Client(place) as unknown as {
        connection: {
          once(event: 'connect', then: () => void): void;
          connect(port: number, host: string): void;
          cancel(processId: number, secret: number): void;
        };
      };
      canceller.connection.once('connect', () => canceller.connection.cancel(processID, secretKey));
      canceller.connection.connect(place.port, place.host);
      seen.push(await sleeps, await value(client, 'select 1'));
      return seen;
    }),
  listen: (place) =>
    using(place, (hears) =>
      using(place, async (says) => {
        const heard = new Promise((resolve) =>
          hears.once('notification', ({ channel, payload }) => resolve([channel, payload])),
        );
        await hears.query('listen node_postgres');
        await value(hears, 'select 1');
        await value(says, 'select pg_notify($1, $2)', ['node_postgres', 'news']);
        return heard;
      }),
    ),
  large: (place) =>
    using(place, async (client) => [
      await value(client, 'select length($1::text)', ['x'.repeat(1_000_000)]),
      ((await value(client, "select repeat('é', 500000)")) as string).length,
      (await client.query('select generate_series(1, 20000)')).rowCount,
    ]),
  errors: (place) =>
    using(place, async (client) => {
      await client.query(
        'drop table if exists once; create table once (n int primary key); insert into once values (1)',
      );
      const seen = [];
      for (const text of ['insert into once values (1)', 'selekt', 'select * from nowhere', 'select 1/0'])
        seen.push(await outcome(client.query(text)));
      await client.query('begin');
      seen.push(await outcome(client.query('select 1/0')), await outcome(client.query('select 1')));
      await client.query('rollback');
      return [...seen, await value(client, 'select count(*)::int from once')];
    }),
};

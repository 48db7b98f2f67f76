/** postgres.js as its users write it. */
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import postgres from 'postgres';
import type { Options, Sql } from 'postgres';
import type { Cases, Place } from './index.ts';

/** Its version. */
export const version = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.resolve('postgres')), 'utf8')) as {
    version: string;
  }
).version;

type Own = Options<Record<string, never>>;

/** Gives a client with one connection, and closes it afterwards. */
async function using<T>(place: Place, use: (sql: Sql) => Promise<T>, more: Own = {}): Promise<T> {
  const { user: username, ...rest } = place;
  const sql = postgres({ ...rest, username, max: 1, onnotice: () => {}, ...more });
  try {
    return await use(sql);
  } finally {
    await sql.end();
  }
}

const outcome = (work: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(work).catch((error: unknown) => (error as { code?: string }).code ?? String(error));

async function shown(sql: Sql, times = 5): Promise<unknown[]> {
  const seen = [];
  for (let i = 0; i < times; i += 1) {
    const [row] =
      await sql`select current_setting('search_path') as path, current_setting('statement_timeout') as timeout,
      current_setting('TimeZone') as zone, current_setting('work_mem') as memory`;
    seen.push(row);
  }
  return seen;
}

/** Each is a case. */
export const cases: Cases = {
  startup: (place) =>
    using(place, (sql) => shown(sql), {
      connection: { search_path: 'app', statement_timeout: 7_000, TimeZone: 'Asia/Tokyo', work_mem: '3MB' },
    }),
  settings: (place) =>
    using(place, async (sql) => {
      await sql`set search_path = app`;
      await sql`set time zone 'Asia/Tokyo'`;
      await sql`set statement_timeout = '7s'`;
      await sql.unsafe('set session work_mem = 3072');
      const seen = await shown(sql);
      await sql`reset work_mem`;
      return [...seen, ...(await shown(sql, 1))];
    }),
  prepared: (place) =>
    using(place, (one) =>
      using(place, async (other) => {
        const seen = [];
        for (const divisor of [1, 2, 0, 4])
          for (const sql of [one, other])
            seen.push(await outcome(sql`select 8 / ${divisor}::int as n, ${'x'}::text as t`));
        return seen;
      }),
    ),
  changed_table: (place) =>
    using(place, (one) =>
      using(place, async (other) => {
        await other.unsafe(
          `drop table if exists changed; create table changed (a int, b text); insert into changed values (1, '2')`,
        );
        const seen = [await outcome(one`select * from changed where a = ${1}`)];
        await other`alter table changed add c int default 3`;
        for (let i = 0; i < 3; i += 1) seen.push(await outcome(one`select * from changed where a = ${1}`));
        return seen;
      }),
    ),
  transactions: (place) =>
    using(place, async (sql) => {
      await sql.unsafe('drop table if exists kept; create table kept (n int)');
      const seen: unknown[] = [];
      seen.push(
        await outcome(
          sql.begin('isolation level serializable read only', async (tx) => {
            seen.push(await tx`show transaction_isolation`);
            await tx`insert into kept values (1)`;
          }),
        ),
      );
      await sql.begin(async (tx) => {
        await tx`insert into kept values (2)`;
        await tx
          .savepoint(async (inner) => {
            await inner`insert into kept values (3)`;
            throw new Error('undone');
          })
          .catch(() => {});
      });
      return [...seen, await sql`show transaction_isolation`, await sql`select sum(n)::int from kept`];
    }),
  cancel: (place) =>
    using(place, async (sql) => {
      const seen = [
        await outcome(
          sql.begin(async (tx) => {
            await tx`set local statement_timeout = '100ms'`;
            await tx`select pg_sleep(30)`;
          }),
        ),
      ];
      const query = sql`select pg_sleep(30)`;
      const slept = outcome(query);
      setTimeout(() => query.cancel(), 200);
      return [...seen, await slept, await sql`select 1 as n`];
    }),
  copy: (place) =>
    using(place, async (sql) => {
      await sql.unsafe('drop table if exists copied; create table copied (a int, b text)');
      const rows = Array.from({ length: 5_000 }, (_, i) => `${i}\tword ${i}\n`);
      await pipeline(Readable.from(rows), await sql`copy copied from stdin`.writable());
      const [count] = await sql`select count(*)::int as n, sum(a)::int as s from copied`;
      let read = 0;
      for await (const chunk of await sql`copy copied to stdout`.readable()) read += (chunk as Buffer).length;
      return [count, read];
    }),
  listen: (place) =>
    using(place, async (sql) => {
      let told: (payload: string) => void = () => {};
      const heard = new Promise<string>((resolve) => {
        told = resolve;
      });
      const listening = await sql.listen('postgres_js', (payload) => told(payload));
      await sql.notify('postgres_js', 'news');
      const news = await heard;
      await listening.unlisten();
      return news;
    }),
  batch: (place) =>
    using(place, (sql) =>
      Promise.all(
        Array.from({ length: 30 }, (_, i) =>
          outcome(sql`select ${i}::int * 2 as n, 1 / (${i}::int % 7) as m`),
        ),
      ),
    ),
  large: (place) =>
    using(place, async (sql) => [
      await sql`select length(${'x'.repeat(1_000_000)}::text)`,
      (await sql`select repeat('é', 500000) as t`)[0]?.['t'].length,
      (await sql`select generate_series(1, 20000)`).count,
    ]),
  errors: (place) =>
    using(place, async (sql) => {
      await sql.unsafe(
        'drop table if exists once; create table once (n int primary key); insert into once values (1)',
      );
      const seen = [];
      for (const text of ['insert into once values (1)', 'selekt', 'select * from nowhere', 'select 1/0'])
        seen.push(await outcome(sql.unsafe(text)));
      seen.push(
        await outcome(
          sql.begin(async (tx) => {
            await tx`select 1/0`.catch(() => {});
            await tx`select 1`;
          }),
        ),
      );
      return [...seen, await sql`select count(*)::int from once`];
    }),
};

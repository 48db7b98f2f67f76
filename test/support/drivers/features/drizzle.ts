/** Drizzle with node-postgres as its users write it. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asc, count, eq, sql, sum } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import { integer, pgTable, serial, text } from 'drizzle-orm/pg-core';
import { Pool } from 'pg';
import type { PoolConfig } from 'pg';
import type { Cases, Place } from './index.ts';
import { version as driverVersion } from './node-postgres.ts';

const { version: own } = JSON.parse(
  readFileSync(new URL('package.json', import.meta.resolve('drizzle-orm')), 'utf8'),
) as { version: string };

/** Its version, and its driver's. */
export const version = `${own} with pg ${driverVersion}`;

const kept = pgTable('kept', { n: integer() });
const changed = pgTable('changed', { a: integer(), b: text() });
const many = pgTable('many', { id: serial().primaryKey(), word: text().notNull() });
const once = pgTable('once', { n: integer().primaryKey() });
const users = pgTable('users', { id: serial().primaryKey(), name: text().notNull() });
const posts = pgTable('posts', { id: serial().primaryKey(), user: integer(), title: text() });

/** Gives a database with a pool of one connection, and ends it afterwards. */
async function using<T>(
  place: Place,
  use: (db: NodePgDatabase) => Promise<T>,
  more: PoolConfig = {},
): Promise<T> {
  const pool = new Pool({ ...place, max: 1, ...more });
  pool.on('error', () => {});
  try {
    return await use(drizzle({ client: pool }));
  } finally {
    await pool.end();
  }
}

/** What it gives, or its SQLSTATE: the driver's error is the cause of Drizzle's. */
const outcome = (work: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(work).catch((error: unknown) => {
    const { cause = error } = error as { cause?: unknown };
    return (cause as { code?: string }).code ?? String(cause);
  });

async function shown(db: NodePgDatabase, times = 5): Promise<unknown[]> {
  const seen = [];
  for (let i = 0; i < times; i += 1)
    seen.push(
      ...(
        await db.execute(
          sql`select current_setting('search_path') as path, current_setting('statement_timeout') as timeout, current_setting('TimeZone') as zone, current_setting('work_mem') as memory`,
        )
      ).rows,
    );
  return seen;
}

const isolation = async (db: Pick<NodePgDatabase, 'execute'>): Promise<unknown> =>
  (await db.execute(sql`show transaction_isolation`)).rows;

/** A folder of migrations, as drizzle-kit writes it. */
function migrations(...texts: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-drizzle-'));
  const entries = texts.map((_, idx) => ({
    idx,
    version: '7',
    when: idx + 1,
    tag: `000${idx}`,
    breakpoints: true,
  }));
  mkdirSync(join(folder, 'meta'));
  writeFileSync(
    join(folder, 'meta', '_journal.json'),
    JSON.stringify({ version: '7', dialect: 'postgresql', entries }),
  );
  for (const [idx, script] of texts.entries()) writeFileSync(join(folder, `000${idx}.sql`), script);
  return folder;
}

/** Migrates an empty database twice: the second time has nothing to do. */
async function migrated(db: NodePgDatabase): Promise<unknown> {
  const folder = migrations(
    'create table users (id serial primary key, name text not null);\n--> statement-breakpoint\ncreate table posts (id serial primary key, "user" int references users, title text);',
    'create index posts_user on posts ("user");',
  );
  try {
    await db.execute(sql`drop table if exists posts, users`);
    await db.execute(sql`drop schema if exists drizzle cascade`);
    await migrate(db, { migrationsFolder: folder });
    await migrate(db, { migrationsFolder: folder });
  } finally {
    rmSync(folder, { recursive: true });
  }
  return (await db.execute(sql`select count(*)::int as n from drizzle.__drizzle_migrations`)).rows;
}

/** Each is a case. */
export const cases: Cases = {
  startup: (place) =>
    using(place, (db) => shown(db), {
      statement_timeout: 7_000,
      options: '-c search_path=app -c TimeZone=Asia/Tokyo -c work_mem=3MB',
    }),
  settings: (place) =>
    using(place, async (db) => {
      await db.execute(sql`set search_path = app`);
      await db.execute(sql`set time zone 'Asia/Tokyo'`);
      await db.execute(sql`set statement_timeout = '7s'`);
      await db.execute(sql`set session work_mem = 3072`);
      const seen = await shown(db);
      await db.execute(sql`reset work_mem`);
      return [...seen, ...(await shown(db, 1))];
    }),
  prepared: (place) =>
    using(place, (one) =>
      using(place, async (other) => {
        await other.execute(sql`drop table if exists kept`);
        await other.execute(sql`create table kept as select 8 as n`);
        const divided = [one, other].map((db) =>
          db
            .select({ n: sql<number>`${kept.n} / ${sql.placeholder('divisor')}::int` })
            .from(kept)
            .prepare('divided'),
        );
        const seen = [];
        for (const divisor of [1, 2, 0, 4])
          for (const query of divided) seen.push(await outcome(query.execute({ divisor })));
        return seen;
      }),
    ),
  changed_table: (place) =>
    using(place, (one) =>
      using(place, async (other) => {
        await other.execute(sql`drop table if exists changed`);
        await other.execute(sql`create table changed (a int, b text)`);
        await other.insert(changed).values({ a: 1, b: '2' });
        const query = one
          .select()
          .from(changed)
          .where(eq(changed.a, sql.placeholder('a')))
          .prepare('rows');
        const use = (): Promise<unknown> => outcome(query.execute({ a: 1 }));
        const seen = [await use()];
        await other.execute(sql`alter table changed add c int default 3`);
        seen.push(await use(), await use());
        await other.execute(sql`alter table changed alter b type int using b::int`);
        return [...seen, await use(), await use(), await outcome(one.select().from(changed))];
      }),
    ),
  transactions: (place) =>
    using(place, async (db) => {
      await db.execute(sql`drop table if exists kept`);
      await db.execute(sql`create table kept (n int)`);
      const seen: unknown[] = [];
      const strict = db.transaction(
        async (tx) => {
          seen.push(await isolation(tx));
          await tx.insert(kept).values({ n: 1 });
        },
        { isolationLevel: 'serializable', accessMode: 'read only' },
      );
      seen.push(await outcome(strict));
      await db.transaction(async (tx) => {
        await tx.insert(kept).values({ n: 2 });
        await tx
          .transaction(async (inner) => {
            await inner.insert(kept).values({ n: 3 });
            inner.rollback();
          })
          .catch(() => {});
      });
      return [...seen, await isolation(db), await db.select({ sum: sum(kept.n) }).from(kept)];
    }),
  cancel: (place) =>
    using(place, async (db) => {
      const slept = db.transaction(async (tx) => {
        await tx.execute(sql`set local statement_timeout = '100ms'`);
        await tx.execute(sql`select pg_sleep(30)`);
      });
      return [await outcome(slept), (await db.execute(sql`select 1 as n`)).rows];
    }),
  batch: (place) =>
    using(place, async (db) => {
      const applied = await migrated(db);
      const [user] = await db.insert(users).values({ name: 'ada' }).returning();
      await db.insert(posts).values(['a', 'b'].map((title) => ({ user: user?.id ?? null, title })));
      const joined = await db
        .select()
        .from(users)
        .leftJoin(posts, eq(posts.user, users.id))
        .orderBy(asc(posts.id));
      await db.execute(sql`drop table if exists many`);
      await db.execute(sql`create table many (id serial primary key, word text not null)`);
      const words = Array.from({ length: 500 }, (_, n) => ({ word: `w${n}` }));
      const ids = await db.insert(many).values(words).returning({ id: many.id });
      const again = { id: 1, word: 'again' };
      const refused = await outcome(db.insert(many).values([{ word: 'new' }, again]));
      await db
        .insert(many)
        .values(again)
        .onConflictDoUpdate({ target: many.id, set: { word: 'again' } });
      return [applied, joined, ids.length, refused, await db.select().from(many).where(eq(many.id, 1))];
    }),
  large: (place) =>
    using(place, async (db) => [
      (await db.execute(sql`select length(${'x'.repeat(1_000_000)}::text)`)).rows,
      String((await db.execute(sql`select repeat('é', 500000) as t`)).rows[0]?.['t']).length,
      (await db.execute(sql`select generate_series(1, 20000)`)).rowCount,
    ]),
  errors: (place) =>
    using(place, async (db) => {
      await db.execute(sql`drop table if exists once`);
      await db.execute(sql`create table once (n int primary key)`);
      await db.insert(once).values({ n: 1 });
      const seen = [await outcome(db.insert(once).values({ n: 1 }))];
      for (const wrong of ['selekt', 'select * from nowhere', 'select 1/0'])
        seen.push(await outcome(db.execute(sql.raw(wrong))));
      const failed = db.transaction(async (tx) => {
        await tx.execute(sql`select 1/0`).catch(() => {});
        await tx.execute(sql`select 1`);
      });
      return [...seen, await outcome(failed), await db.select({ n: count() }).from(once)];
    }),
};

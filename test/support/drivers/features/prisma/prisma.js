/** Prisma with its adapter of node-postgres, as its users write it; it connects by libpq's variables and prints a line of JSON for each case. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { PrismaPg } from '@prisma/adapter-pg';
import { Prisma, PrismaClient } from '@prisma/client';

const versionOf = (name) =>
  JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;

const { PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE } = process.env;

function urlOf(parameters) {
  const url = new URL(`postgresql://${PGHOST}:${PGPORT}/${PGDATABASE}`);
  [url.username, url.password] = [PGUSER, PGPASSWORD];
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url.href;
}

/** Every text has a statement of its own, as the adapter caches them where it is told how to name them. */
const statementNameGenerator = ({ sql }) => createHash('sha256').update(sql).digest('hex').slice(0, 40);

/** Gives a client with a pool of one connection, and ends it afterwards. */
async function using(use, { schema = 'public', ...parameters } = {}) {
  const connectionString = urlOf({ schema, ...parameters });
  const adapter = new PrismaPg({ connectionString, max: 1 }, { schema, statementNameGenerator });
  const db = new PrismaClient({ adapter, errorFormat: 'minimal' });
  try {
    return await use(db);
  } finally {
    await db.$disconnect();
  }
}

/** What it gives, or its SQLSTATE; Prisma has codes of its own for some. */
const outcome = (work) =>
  work.catch((error) => error.meta?.driverAdapterError?.cause?.originalCode ?? error.code ?? String(error));

async function run(db, ...texts) {
  for (const text of texts) await db.$executeRawUnsafe(text);
}

async function shown(db, times = 5) {
  const seen = [];
  for (let i = 0; i < times; i += 1)
    seen.push(
      ...(await db.$queryRaw`select current_setting('search_path') as path, current_setting('statement_timeout') as timeout, current_setting('TimeZone') as zone, current_setting('work_mem') as memory`),
    );
  return seen;
}

/** Tables as the models say, made anew. */
const made = (use) =>
  using(async (db) => {
    await run(
      db,
      'drop table if exists posts, users',
      'create table users (id serial primary key, name text not null unique)',
      'create table posts (id serial primary key, title text not null, "user" int references users)',
    );
    return use(db);
  });

const level = (db) => db.$queryRaw`show transaction_isolation`;

const cases = {
  version: async () => `${versionOf('@prisma/client')} with pg ${versionOf('pg')}`,
  startup: () =>
    using((db) => shown(db), {
      schema: 'app',
      statement_timeout: 7_000,
      options: '-c search_path=app -c TimeZone=Asia/Tokyo -c work_mem=3MB',
    }),
  settings: () =>
    using(async (db) => {
      await run(db, 'set search_path = app', `set time zone 'Asia/Tokyo'`, `set statement_timeout = '7s'`);
      await run(db, 'set session work_mem = 3072');
      const seen = await shown(db);
      await run(db, 'reset work_mem');
      return [...seen, ...(await shown(db, 1))];
    }),
  prepared: () =>
    using((one) =>
      using(async (other) => {
        const seen = [];
        for (const divisor of [1, 2, 0, 4])
          for (const db of [one, other])
            seen.push(await outcome(db.$queryRaw`select 8 / ${divisor}::int as n, ${'x'}::text as t`));
        return seen;
      }),
    ),
  changed_table: () =>
    made((one) =>
      using(async (other) => {
        await one.user.create({ data: { name: 'ada', posts: { create: { title: '1' } } } });
        const find = () => outcome(one.post.findMany());
        const all = () => outcome(one.$queryRaw`select * from posts where id = ${1}`);
        const seen = [await find(), await all()];
        await run(other, 'alter table posts add made int default 3');
        seen.push(await find(), await all(), await all());
        await run(other, 'alter table posts alter title type int using title::int');
        return [...seen, await find(), await find(), await all()];
      }),
    ),
  transactions: () =>
    made(async (db) => {
      const seen = [];
      const strict = { isolationLevel: Prisma.TransactionIsolationLevel.Serializable };
      await db.$transaction(async (tx) => {
        seen.push(await level(tx));
        await tx.user.create({ data: { name: 'ada', posts: { create: [{ title: 'a' }, { title: 'b' }] } } });
      }, strict);
      const failed = db.$transaction(async (tx) => {
        await tx.user.create({ data: { name: 'kurt' } });
        await tx.user.create({ data: { name: 'ada' } });
      });
      const together = ['grace', 'ada'].map((name) => db.user.create({ data: { name } }));
      seen.push(await outcome(failed), await outcome(db.$transaction(together)), await level(db));
      return [...seen, await db.user.findMany({ include: { posts: true }, orderBy: { name: 'asc' } })];
    }),
  cancel: () =>
    using(async (db) => {
      const slept = db.$transaction(async (tx) => {
        await run(tx, `set local statement_timeout = '100ms'`);
        await tx.$queryRaw`select 1 as n from (select pg_sleep(30)) s`;
      });
      return [await outcome(slept), await db.$queryRaw`select 1 as n`];
    }),
  batch: () =>
    made(async (db) => {
      const data = Array.from({ length: 500 }, (_, n) => ({ name: `n${n}` }));
      const { count } = await db.user.createMany({ data });
      const refused = await outcome(db.user.createMany({ data: [{ name: 'new' }, { name: 'n1' }] }));
      const skipped = await db.user.createMany({ data: [{ name: 'n1' }], skipDuplicates: true });
      const where = { name: 'n1' };
      const upserted = await db.user.upsert({ where, update: { name: 'again' }, create: where });
      const reads = [db.user.count(), db.user.findMany({ take: 2, orderBy: { id: 'asc' } })];
      return [count, refused, skipped, upserted, await db.$transaction(reads)];
    }),
  large: () =>
    using(async (db) => [
      await db.$queryRaw`select length(${'x'.repeat(1_000_000)}::text) as n`,
      (await db.$queryRaw`select repeat('é', 500000) as t`)[0].t.length,
      (await db.$queryRaw`select generate_series(1, 20000) as n`).length,
    ]),
  errors: () =>
    using(async (db) => {
      await run(db, 'drop table if exists once', 'create table once (n int primary key)');
      const insert = 'insert into once values (1)';
      const seen = [];
      for (const text of [insert, insert, 'selekt', 'select * from nowhere', 'select 1/0'])
        seen.push(await outcome(db.$executeRawUnsafe(text)));
      const failed = db.$transaction(async (tx) => {
        await outcome(tx.$queryRaw`select 1/0`);
        await tx.$queryRaw`select 1`;
      });
      return [...seen, await outcome(failed), await db.$queryRaw`select count(*)::int as n from once`];
    }),
};

for (const [name, work] of Object.entries(cases)) {
  const result = await work().then(
    (given) => ({ result: given ?? null }),
    (error) => ({ error: String(error) }),
  );
  process.stdout.write(`${JSON.stringify({ case: name, ...result })}\n`);
}

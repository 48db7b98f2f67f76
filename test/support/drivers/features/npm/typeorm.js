/** TypeORM with node-postgres as its users write it; it connects by libpq's variables and prints a line of JSON for each case. */
import { readFileSync } from 'node:fs';
import { DataSource, EntitySchema, In } from 'typeorm';

const versionOf = (name) =>
  JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;

const { PGHOST: host, PGPORT, PGUSER: username, PGPASSWORD: password, PGDATABASE: database } = process.env;

const User = new EntitySchema({
  name: 'User',
  tableName: 'users',
  columns: {
    id: { type: Number, primary: true, generated: true },
    name: { type: 'text', unique: true },
    made: { type: 'timestamptz', createDate: true, select: false },
  },
  relations: { posts: { type: 'one-to-many', target: 'Post', inverseSide: 'user', cascade: true } },
});
const Post = new EntitySchema({
  name: 'Post',
  tableName: 'posts',
  columns: { id: { type: Number, primary: true, generated: true }, title: { type: 'text' } },
  relations: { user: { type: 'many-to-one', target: 'User', joinColumn: true, inverseSide: 'posts' } },
});

class First1700000000001 {
  up = (runner) => runner.query('create table migrated (n int)');
  down = (runner) => runner.query('drop table migrated');
}
class Second1700000000002 {
  up = (runner) => runner.query('alter table migrated add word text');
  down = (runner) => runner.query('alter table migrated drop word');
}

/** Gives a data source with a pool of two connections, and destroys it afterwards. */
async function using(use, more = {}) {
  const source = new DataSource({
    type: 'postgres',
    host,
    port: Number(PGPORT),
    username,
    password,
    database,
    poolSize: 2,
    entities: [User, Post],
    migrations: [First1700000000001, Second1700000000002],
    ...more,
  });
  await source.initialize();
  try {
    return await use(source);
  } finally {
    await source.destroy();
  }
}

/** What it gives, or its SQLSTATE. */
const outcome = (work) => work.catch((error) => error.driverError?.code ?? error.code ?? String(error));

/** One connection of the pool, as its users take it for what belongs together. */
async function withRunner(source, use) {
  const runner = source.createQueryRunner();
  try {
    return await use(runner);
  } finally {
    await runner.release();
  }
}

async function shown(runner, times = 5) {
  const seen = [];
  for (let i = 0; i < times; i += 1)
    seen.push(
      await runner.query(
        `select current_setting('search_path') as path, current_setting('statement_timeout') as timeout, current_setting('TimeZone') as zone, current_setting('work_mem') as memory`,
      ),
    );
  return seen;
}

/** Tables as the entities say, made anew. */
const made = (use) => using((source) => source.synchronize(true).then(() => use(source)));

const cases = {
  version: async () => `${versionOf('typeorm')} with pg ${versionOf('pg')}`,
  startup: () =>
    using((source) => withRunner(source, (runner) => shown(runner)), {
      extra: {
        statement_timeout: 7_000,
        options: '-c search_path=app -c TimeZone=Asia/Tokyo -c work_mem=3MB',
      },
    }),
  settings: () =>
    using((source) =>
      withRunner(source, async (runner) => {
        await runner.query(`set search_path = app; set time zone 'Asia/Tokyo'`);
        await runner.query(`set statement_timeout = '7s'`);
        await runner.query('set session work_mem = 3072');
        const seen = await shown(runner);
        await runner.query('reset work_mem');
        return [...seen, ...(await shown(runner, 1))];
      }),
    ),
  prepared: () =>
    using(async (source) => {
      const seen = [];
      for (const divisor of [1, 2, 0, 4])
        seen.push(await outcome(source.query('select 8 / $1::int as n, $2::text as t', [divisor, 'x'])));
      return seen;
    }),
  /** Its synchronisation reads the catalogue and alters the tables. */
  changed_table: () =>
    made(async (source) => {
      await source.query('alter table posts drop title');
      const before = await outcome(source.manager.find(Post));
      const planned = await source.driver.createSchemaBuilder().log();
      await source.synchronize();
      return [before, planned.upQueries.map(({ query }) => query), await source.manager.find(Post)];
    }),
  transactions: () =>
    made(async (source) => {
      const seen = [];
      const level = (manager) => manager.query('show transaction_isolation');
      await source.transaction('SERIALIZABLE', async (manager) => {
        seen.push(await level(manager));
        await manager.save(User, { name: 'ada', posts: [{ title: 'a' }, { title: 'b' }] });
      });
      await source.transaction(async (manager) => {
        await manager.insert(User, { name: 'grace' });
        await manager
          .transaction(async (inner) => {
            await inner.insert(User, { name: 'alan' });
            throw new Error('undone');
          })
          .catch(() => {});
      });
      const failed = source.transaction(async (manager) => {
        await manager.insert(User, { name: 'kurt' });
        await manager.insert(User, { name: 'ada' });
      });
      seen.push(await outcome(failed), await level(source));
      return [...seen, await source.manager.find(User, { relations: { posts: true }, order: { id: 'ASC' } })];
    }),
  cancel: () =>
    using(async (source) => {
      const slept = source.transaction(async (manager) => {
        await manager.query(`set local statement_timeout = '100ms'`);
        await manager.query('select pg_sleep(30)');
      });
      return [await outcome(slept), await source.query('select 1 as n')];
    }),
  batch: () =>
    made(async (source) => {
      await source.query('drop table if exists migrations, migrated');
      const applied = (await source.runMigrations({ transaction: 'each' })).length;
      const again = (await source.runMigrations()).length;
      await source.undoLastMigration();
      const names = Array.from({ length: 500 }, (_, n) => ({ name: `n${n}` }));
      await source.manager.save(User, names, { chunk: 100 });
      const refused = await outcome(source.manager.insert(User, [{ name: 'new' }, { name: 'n1' }]));
      await source.manager.upsert(User, [{ name: 'n1' }], ['name']);
      const found = await source.manager.findAndCount(User, {
        where: { name: In(['n1', 'n2', 'new']) },
        order: { name: 'ASC' },
      });
      const columns = await source.query('select * from migrated');
      return [applied, again, refused, found, columns, await source.manager.count(User)];
    }),
  large: () =>
    using(async (source) => [
      await source.query('select length($1::text)', ['x'.repeat(1_000_000)]),
      (await source.query(`select repeat('é', 500000) as t`))[0].t.length,
      (await source.query('select generate_series(1, 20000)')).length,
    ]),
  errors: () =>
    using(async (source) => {
      await source.query(
        'drop table if exists once; create table once (n int primary key); insert into once values (1)',
      );
      const seen = [];
      for (const text of ['insert into once values (1)', 'selekt', 'select * from nowhere', 'select 1/0'])
        seen.push(await outcome(source.query(text)));
      const failed = source.transaction(async (manager) => {
        await manager.query('select 1/0').catch(() => {});
        await manager.query('select 1');
      });
      return [...seen, await outcome(failed), await source.query('select count(*)::int from once')];
    }),
};

for (const [name, run] of Object.entries(cases)) {
  const result = await run().then(
    (given) => ({ result: given ?? null }),
    (error) => ({ error: String(error) }),
  );
  process.stdout.write(`${JSON.stringify({ case: name, ...result })}\n`);
}

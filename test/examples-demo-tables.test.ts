/** What the demo makes on a server is there, and gone afterwards. */
import { expect, test } from 'vitest';
import { createDemoDatabase } from '../examples/demo/database.ts';
import { SqlConnection } from '../examples/demo/sql-connection.ts';
import { sharedPostgres } from './support/postgres.ts';

const MADE = `select rolname as name from pg_roles where rolname like 'postern_demo%'
  union all select datname from pg_database where datname like 'postern_demo%'`;

test('on a server that runs already it makes two roles and a database, and drops them', async () => {
  const postgres = sharedPostgres();
  const made = await createDemoDatabase(postgres.url());
  const names = (await postgres.sql(MADE)).map(({ name }) => name);
  expect(new Set(names)).toEqual(new Set(Object.values(made.names)));

  const server = { host: made.host, port: made.port, login: { kind: 'trust' as const } };
  const login = { user: made.names.reader, password: made.passwords.reader, database: made.names.database };
  const reader = await SqlConnection.direct(server, login);
  await expect(reader.rows('select count(*) from orders')).resolves.toEqual([['3']]);
  await expect(reader.rows('delete from orders')).rejects.toMatchObject({ sqlstate: '42501' });
  reader.close();

  await made.remove();
  await expect(postgres.sql(MADE)).resolves.toEqual([]);
});

test('a failure on the way leaves nothing', async () => {
  const postgres = sharedPostgres();
  await postgres.sql(`create role maker login createrole password 'm'`);
  try {
    const url = postgres.url('postgres', 'maker', 'm');
    await expect(createDemoDatabase(url)).rejects.toMatchObject({ sqlstate: '42501' });
    await expect(postgres.sql(MADE)).resolves.toEqual([]);
  } finally {
    await postgres.sql('drop role maker');
  }
});

test.each(['', 'localhost', 'https://host/db', 'postgres://host/db'])(
  '%o is refused as a URL',
  async (url) => {
    await expect(createDemoDatabase(url)).rejects.toThrow('--database wants a URL');
  },
);

/** What PostgreSQL has told at logins lets nobody in once one of the workers has read that it does not hold any more. */
import { Client } from 'pg';
import { afterEach, expect, test } from 'vitest';
import { databaseOf, GOOD_TOKEN, mapTo, startWorker } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { linkWorkers } from '../support/worker-links.ts';

const postgres = sharedPostgres();
const closing: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function logIn(port: number): Promise<Client> {
  const client = new Client({ host: '127.0.0.1', port, user: 'a', database: 'main', password: GOOD_TOKEN });
  client.on('error', () => {});
  await client.connect();
  closing.push(() => client.end().catch(() => {}));
  return client;
}

test.each([
  ['superuser', '42501'],
  ['nologin', '08004'],
])('a role that has become %s is refused by one worker, and let in by none', async (change, code) => {
  const role = `outdated_${process.pid}_${change}`;
  const database = await freshDatabase();
  await postgres.sql(`create role ${role} login password 'of-this-test'`);
  closing.push(() => postgres.sql(`drop role ${role}`));
  const main = databaseOf(postgres, {
    database,
    login: { kind: 'password', passwords: { [role]: 'of-this-test' } },
    pool: { mode: 'transaction', size: 2, idleTimeout: '50ms' },
  });
  const linked = linkWorkers(3);
  closing.push(() => linked.close());
  const ports: number[] = [];
  for (const link of linked.links) {
    const { gateway, port } = await startWorker({ plugins: [mapTo(role)], databases: { main } }, link);
    closing.push(() => gateway.stop());
    ports.push(port);
    await (await logIn(port)).query('select 1');
  }
  const backends = `select from pg_stat_activity where usename = '${role}'`;
  await expect.poll(() => postgres.sql(backends)).toEqual([]);
  await postgres.sql(`alter role ${role} ${change}`);
  const [first = 0, ...others] = ports;
  // Each still knows what PostgreSQL told before.
  await expect((await logIn(first)).query('select 1')).rejects.toMatchObject({ code, severity: 'FATAL' });
  for (const port of [...others, first]) await expect.poll(() => refusalAt(port)).toBe(code);
});

/** The SQLSTATE of a login; `in`: it was let in. */
const refusalAt = (port: number): Promise<unknown> =>
  logIn(port).then(
    () => 'in',
    ({ code }: { code?: string }) => code,
  );

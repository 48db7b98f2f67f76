import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { CloseReason } from '../../core/contract/session.ts';
import { databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { RawClient, fieldsOf, message } from '../support/raw-client.ts';
import type { Received } from '../support/raw-client.ts';

let postgres: OwnPostgres;
let running: RunningGateway;
const closed: CloseReason[] = [];
const clients: RawClient[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  await postgres.sql('create table ledger (note text); grant insert, select on ledger to writer');
  running = await startGateway({
    databases: { orders: databaseOf(postgres) },
    plugins: [mapTo('writer'), { name: 'watching', onClose: (_, reason) => void closed.push(reason) }],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  await postgres.stop();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
  closed.length = 0;
});

const query = (text: string): Buffer => message('Q', `${text}\0`);

async function login(): Promise<RawClient> {
  const client = await RawClient.connect(running.port);
  clients.push(client);
  await logIn(client);
  return client;
}

async function count(sql: string): Promise<unknown> {
  return (await postgres.sql(`select count(*)::int as n from ${sql}`))[0]?.['n'];
}

const writers = (): Promise<unknown> => count("pg_stat_activity where usename = 'writer'");
const active = (): Promise<unknown> =>
  count("pg_stat_activity where usename = 'writer' and state = 'active'");

/** All that still comes, as messages. */
async function untilClosed(client: RawClient): Promise<Received[]> {
  const all: Received[] = [];
  for (;;) {
    try {
      all.push(await client.message());
    } catch {
      return all;
    }
  }
}

test('a client that vanishes in a statement has it cancelled, and nothing of it is committed', async () => {
  const client = await login();
  client.send(query("insert into ledger select 'vanished' from pg_sleep(600)"));
  await expect.poll(active).toBe(1);
  client.destroy();
  await expect.poll(writers).toBe(0);
  expect(await count("ledger where note = 'vanished'")).toBe(0);
  expect(closed).toEqual([{ kind: 'lost' }]);
});

test('a client that vanishes before its Sync has nothing committed in its name', async () => {
  const client = await login();
  client.send(
    message('P', "\0insert into ledger values ('no sync')\0\0\0"),
    message('B', '\0\0\0\0\0\0\0\0'),
    message('E', '\0\0\0\0\0'),
    message('H'),
  );
  await client.until('C');
  client.destroy();
  await expect.poll(writers).toBe(0);
  expect(await count("ledger where note = 'no sync'")).toBe(0);
});

test('a client that vanishes in the middle of COPY has none of it committed', async () => {
  const client = await login();
  client.send(query('copy ledger from stdin'));
  await client.until('G');
  client.send(message('d', 'copied\n'), message('d', 'copied too\n'));
  client.destroy();
  await expect.poll(writers).toBe(0);
  expect(await count("ledger where note like 'copied%'")).toBe(0);
});

test('a server process that is terminated says so once, and no ReadyForQuery follows', async () => {
  const client = await login();
  client.send(query('select pg_sleep(600)'));
  await expect.poll(active).toBe(1);
  await postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'writer'");
  const last = await untilClosed(client);
  expect(last.filter(({ type }) => type === 'E').map(({ body }) => fieldsOf(body)['C'])).toEqual(['57P01']);
  expect(last.map(({ type }) => type)).not.toContain('Z');
  await expect.poll(() => closed).toEqual([{ kind: 'upstream' }]);
});

test('an idle session whose server process is terminated is told as well', async () => {
  const client = await login();
  await postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'writer'");
  const codes = (await untilClosed(client)).map(({ body }) => fieldsOf(body)['C']);
  expect(codes).toEqual(['57P01']);
});

test('kill -9 of PostgreSQL ends its sessions with one error, logins fail cleanly, and work again afterwards', async () => {
  const client = await login();
  client.send(query('select pg_sleep(600)'));
  await expect.poll(active).toBe(1);
  postgres.kill('SIGKILL');
  const last = (await untilClosed(client)).filter(({ type }) => type === 'E' || type === 'Z');
  expect(last).toHaveLength(1);
  expect(fieldsOf(last[0]?.body ?? Buffer.alloc(0))['C']).toMatch(/^(57P0[12]|08006)$/);
  await expect(login()).rejects.toThrow(/"C":"(08001|57P03)"/);
  await postgres.restart();
  const again = await login();
  again.send(query('select 1'));
  expect((await again.until('Z')).map(({ type }) => type)).toContain('D');
});

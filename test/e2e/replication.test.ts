/** Replication connections through the gateway: who may have one, and that it ends with its client. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ConnectRate } from '../../core/upstream/connect-rate.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { LoggedIn, RunningGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RawClient, message } from '../support/raw-client.ts';

const ROLE = 'replicating';
let postgres: OwnPostgres;
let running: RunningGateway;

beforeAll(async () => {
  postgres = await startPostgres({ flags: { wal_level: 'logical' } });
  await postgres.sql(`create role ${ROLE} login replication password 'secret'; create table t (n int)`);
  const entry = databaseOf(postgres, {
    login: { kind: 'password', passwords: { [ROLE]: 'secret' } },
    privilegedRoles: [ROLE],
  });
  running = await startGateway({
    databases: {
      orders: { ...entry, replication: true },
      few: { ...entry, replication: true, pool: { mode: 'transaction' } },
      replication: { ...entry, replication: true },
      closed: entry,
    },
    plugins: [mapTo(ROLE)],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  await postgres.stop();
});

const connect = async (database: string, replication: string): Promise<LoggedIn> =>
  logIn(await RawClient.connect(running.port), { database, replication });
const query = (text: string): Buffer => message('Q', `${text}\0`);

async function answer({ client }: LoggedIn, text: string): Promise<string> {
  client.send(query(text));
  const messages = await client.until('Z');
  return messages.map(({ type }) => type).join('');
}

test.each([
  ['orders', 'database'],
  ['orders', 'true'],
  ['few', 'database'],
  ['replication', 'true'],
])('passes to %s with replication=%s', async (database, replication) => {
  const one = await connect(database, replication);
  expect(await answer(one, 'IDENTIFY_SYSTEM')).toBe('TDCZ');
  one.client.destroy();
});

test('is refused where the entry does not allow it', async () => {
  await expect(connect('closed', 'database')).rejects.toThrow('0A000');
});

test.each([
  ['orders', 'database'],
  ['few', 'database'],
  ['replication', 'true'],
])('asks %s for nothing that counts only while a connection begins', async (database, replication) => {
  const rows = await postgres.sql(
    "select name from pg_settings where context in ('backend', 'superuser-backend')",
  );
  const names = rows.map(({ name }) => String(name));
  expect(names).toContain('post_auth_delay');
  for (const name of [...names, 'local_preload_libraries', 'session_preload_libraries']) {
    for (const packet of [{ [name]: '1' }, { options: `-c ${name.toUpperCase()}=1` }]) {
      const login = logIn(await RawClient.connect(running.port), { database, replication, ...packet });
      await expect(login, name).rejects.toThrow('55P02');
    }
  }
  // Those would be there for as long as the delay takes.
  expect(await postgres.sql("select from pg_stat_activity where backend_type = 'walsender'")).toEqual([]);
});

test('more of them than the server has walsenders are refused, and ordinary clients get connections at once', async () => {
  const few = await startPostgres({ flags: { wal_level: 'logical', max_wal_senders: '1' } });
  await few.sql(`create role ${ROLE} login replication password 'secret'`);
  const clock = vi.spyOn(ConnectRate.prototype, 'failed');
  const login = { kind: 'password', passwords: { [ROLE]: 'secret' } } as const;
  const entry = databaseOf(few, { login, privilegedRoles: [ROLE], replication: true });
  const one = await startGateway({ databases: { orders: entry }, plugins: [mapTo(ROLE)] });
  const come = async (more: Record<string, string>): Promise<LoggedIn> =>
    logIn(await RawClient.connect(one.port), { database: 'orders', ...more });
  try {
    const first = await come({ replication: 'database' });
    for (let count = 0; count < 5; count += 1)
      await expect(come({ replication: 'database' })).rejects.toThrow('53300');
    expect(clock).not.toHaveBeenCalled();
    const plain = await come({});
    for (const { client } of [first, plain]) client.destroy();
  } finally {
    clock.mockRestore();
    await one.gateway.stop();
    await few.stop();
  }
});

async function active(slot: string): Promise<unknown> {
  const [row] = await postgres.sql(`select active from pg_replication_slots where slot_name = '${slot}'`);
  return row?.['active'];
}

async function streaming(slot: string): Promise<LoggedIn> {
  const one = await connect('orders', 'database');
  expect(await answer(one, `CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL test_decoding`)).toBe('TDCZ');
  one.client.send(query(`START_REPLICATION SLOT ${slot} LOGICAL 0/0`));
  await one.client.until('W');
  await postgres.sql('insert into t values (42)');
  await one.client.until('d');
  return one;
}

test.each([
  ['Terminate', (client: RawClient) => client.send(message('X'))],
  ['the end of its stream and Terminate', (client: RawClient) => client.send(message('c'), message('X'))],
  ['its loss', (client: RawClient) => client.destroy()],
])('a stream ends on the server with %s of its client', async (name, leave) => {
  const slot = name.toLowerCase().replace(/\W/g, '_');
  const { client } = await streaming(slot);
  leave(client);
  // The server drops a temporary slot with its connection.
  await expect.poll(() => active(slot)).toBeUndefined();
});

test('a stream that the client ends is followed by other commands', async () => {
  const one = await streaming('ended');
  one.client.send(message('c'));
  const rest = await one.client.until('Z');
  expect(rest.map(({ type }) => type).join('')).toMatch(/c?C+Z$/);
  expect(await answer(one, 'IDENTIFY_SYSTEM')).toBe('TDCZ');
  one.client.destroy();
});

describeWith('pg_recvlogical', (program) => {
  test('reads changes, and frees its slot when it is stopped', async () => {
    const where = `host=127.0.0.1 port=${running.port} user=_ dbname=orders sslmode=disable`;
    const env = { ...process.env, PGPASSWORD: GOOD_TOKEN };
    await postgres.sql("select pg_create_logical_replication_slot('program', 'test_decoding')");
    const child = spawn(program, ['-d', where, '--slot', 'program', '--start', '-f', '-'], { env });
    let read = '';
    child.stdout.on('data', (chunk: Buffer) => (read += String(chunk)));
    await postgres.sql('insert into t values (4711)');
    await expect.poll(() => read).toContain('4711');
    child.kill('SIGINT');
    await once(child, 'close');
    await expect.poll(() => active('program')).toBe(false);
    await postgres.sql("select pg_drop_replication_slot('program')");
  });
});

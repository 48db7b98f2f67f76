/** Every way a session can end, against a real server: what is committed, what is undone, what the client reads. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { RelayOptions } from '../../../core/relay/relay-options.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame, openAs, relayed } from '../../support/raw.ts';
import type { Relayed } from '../../support/raw.ts';

const postgres = sharedPostgres();
let database: string;
beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql('create table t (n int); grant all on t to writer', database);
});
beforeEach(() => postgres.sql('truncate t', database));

const connect = async (options?: Partial<RelayOptions>): Promise<Relayed> =>
  relayed(await openAs(postgres, database, 'writer'), options);
const types = ({ messages }: Relayed): string => messages.map(({ type }) => type).join('');
const fatal = (client: Relayed): string =>
  client.messages.find(({ type }) => type === 'E')?.body.toString() ?? '';
const rows = async (): Promise<number> =>
  Number((await postgres.sql('select count(*) as n from t', database))[0]?.['n']);
const backends = async (pid: number): Promise<number> =>
  (await postgres.sql(`select 1 from pg_stat_activity where pid = ${pid}`)).length;
const gone = (pid: number) => expect.poll(() => backends(pid)).toBe(0);
/** The server is at it: what comes now meets a statement that runs. */
const sleeping = (pid: number) =>
  expect
    .poll(() => postgres.sql(`select wait_event from pg_stat_activity where pid = ${pid}`))
    .toEqual([{ wait_event: 'PgSleep' }]);
const INSERT = 'insert into t values (1)';
const batch = (sql: string): Buffer[] => [
  frame('P', '', sql, 0),
  frame('B', '', '', 0, 0, 0),
  frame('E', '', Buffer.alloc(4)),
];

test('Terminate while idle leaves a server connection that can serve another', async () => {
  const client = await connect();
  client.send(frame('Q', 'select 1'));
  await expect.poll(() => types(client)).toBe('TDCZ');
  client.send(frame('X'));
  expect(await client.relay.done).toEqual({ reason: { kind: 'client' }, server: 'dirty' });
});

test('a Query in front of Terminate is committed, and so is a batch with its Sync', async () => {
  for (const work of [[frame('Q', `select pg_sleep(0.2); ${INSERT}`)], [...batch(INSERT), frame('S')]]) {
    const client = await connect();
    client.send(...work, frame('X'));
    client.socket.end();
    expect(await client.relay.done).toEqual({ reason: { kind: 'client' }, server: 'dirty' });
  }
  expect(await rows()).toBe(2);
});

test('a batch without its Sync in front of Terminate is undone', async () => {
  const client = await connect();
  client.send(...batch(INSERT), frame('H'));
  await expect.poll(() => types(client)).toBe('12C');
  client.send(frame('X'));
  expect(await client.relay.done).toEqual({ reason: { kind: 'client' }, server: 'close' });
  await gone(client.pid);
  expect(await rows()).toBe(0);
});

test("a Query inside a batch makes the connection nobody else's: PostgreSQL 18.4 says idle and is not", async () => {
  const client = await connect();
  client.send(...batch('select 1'), frame('Q', 'select 2'), frame('S'));
  await expect.poll(() => types(client)).toBe('12DCTDCZZ');
  expect(client.relay.state).toBe('idle');
  client.send(frame('X'));
  expect(await client.relay.done).toEqual({ reason: { kind: 'client' }, server: 'close' });
});

test('a client that vanishes inside a batch commits nothing: no Sync is sent for it', async () => {
  const client = await connect();
  client.send(...batch(INSERT));
  await expect.poll(() => client.relay.state).toBe('active');
  client.socket.resetAndDestroy();
  const end = await client.relay.done;
  expect(end).toEqual({ reason: { kind: 'lost' }, server: 'close' });
  await gone(client.pid);
  expect(await rows()).toBe(0);
});

test('a client that vanishes inside COPY loads nothing: no CopyDone is sent for it', async () => {
  const client = await connect();
  client.send(frame('Q', 'copy t from stdin'), frame('d', Buffer.from('1\n2\n')));
  await expect.poll(() => types(client)).toBe('G');
  client.socket.resetAndDestroy();
  expect((await client.relay.done).server).toBe('close');
  await gone(client.pid);
  expect(await rows()).toBe(0);
});

test('the statement of a client that vanishes is cancelled', async () => {
  const client = await connect();
  client.send(frame('Q', 'select pg_sleep(60)'));
  await sleeping(client.pid);
  client.socket.resetAndDestroy();
  expect(await client.relay.done).toEqual({ reason: { kind: 'lost' }, server: 'close' });
  await gone(client.pid);
});

test('a client that vanishes in the middle of a message leaves no torn message behind', async () => {
  const insert = frame('Q', `insert into t values (${'0'.repeat(40)}1)`);
  for (const cut of [1, 4, 5, 6, insert.length - 1]) {
    const client = await connect();
    client.send(insert.subarray(0, cut));
    await expect.poll(() => client.channel.socket.bytesRead).toBe(cut);
    client.socket.destroy();
    expect(await client.relay.done).toEqual({ reason: { kind: 'lost' }, server: 'dirty' });
  }
  const client = await connect();
  client.send(frame('Q', `select '${'x'.repeat(300_000)}'`).subarray(0, 200_000));
  await expect.poll(() => client.channel.socket.bytesRead).toBe(200_000);
  client.socket.destroy();
  expect(await client.relay.done).toEqual({ reason: { kind: 'lost' }, server: 'close' });
  expect(await rows()).toBe(0);
});

test('a client that vanishes inside a transaction rolls it back', async () => {
  const client = await connect();
  client.send(frame('Q', `begin; ${INSERT}`));
  await expect.poll(() => client.relay.state).toBe('idle in transaction');
  client.socket.destroy();
  expect((await client.relay.done).server).toBe('close');
  await gone(client.pid);
  expect(await rows()).toBe(0);
});

test('end() while idle says FATAL at once and keeps the server connection', async () => {
  const client = await connect();
  const error = new GatewayError('admin_shutdown', 'over', { hint: 'again' });
  client.relay.end(error);
  expect(await client.relay.done).toEqual({ reason: { kind: 'ended', error }, server: 'dirty' });
  await expect.poll(() => client.closed).toBe(true);
  expect(fatal(client)).toBe('SFATAL\0VFATAL\0C57P01\0Mover\0Hagain\0\0');
});

test('end() cancels what runs, inside a long row too, and says FATAL once', async () => {
  for (const sql of ['select pg_sleep(60)', "select repeat('x', 50000000) from generate_series(1, 50)"]) {
    const client = await connect();
    client.send(frame('Q', sql));
    if (sql.includes('pg_sleep')) await sleeping(client.pid);
    else await sleep(150);
    client.relay.end(new GatewayError('admin_shutdown', 'over'));
    expect((await client.relay.done).server).toBe('close');
    await gone(client.pid);
    await expect.poll(() => client.closed).toBe(true);
    expect(types(client)).toMatch(/^T?D*E$/);
    expect(fatal(client)).toContain('C57P01');
  }
});

test('drain() waits for the end of a transaction, and for a Query under way', async () => {
  const client = await connect();
  client.send(frame('Q', `begin; ${INSERT}`));
  await expect.poll(() => client.relay.state).toBe('idle in transaction');
  client.relay.drain(new GatewayError('admin_shutdown', 'shutting down'));
  client.send(frame('Q', 'select pg_sleep(0.1)'));
  await sleep(300);
  expect(client.closed).toBe(false);
  client.send(frame('Q', 'commit'));
  expect((await client.relay.done).reason).toMatchObject({ kind: 'drained' });
  await expect.poll(() => types(client)).toBe('CCZTDCZCZE');
  expect(await rows()).toBe(1);
});

test("a killed backend's FATAL reaches the client once, without ReadyForQuery", async () => {
  const client = await connect();
  client.send(frame('Q', 'select pg_sleep(60)'));
  await sleeping(client.pid);
  await postgres.sql(`select pg_terminate_backend(${client.pid})`);
  expect(await client.relay.done).toEqual({ reason: { kind: 'upstream' }, server: 'close' });
  await expect.poll(() => client.closed).toBe(true);
  expect(types(client)).toMatch(/^T?E$/);
  expect(fatal(client)).toContain('C57P01');
});

test('a backend killed while idle is told at once', async () => {
  const client = await connect();
  await postgres.sql(`select pg_terminate_backend(${client.pid})`);
  expect((await client.relay.done).reason).toEqual({ kind: 'upstream' });
  await expect.poll(() => types(client)).toBe('E');
});

test('a message that no client may send ends the session behind the outstanding answers', async () => {
  const garbage = [
    frame('p', 'password'),
    frame('\x01'),
    Buffer.from('Q\0\0\0\x03'),
    Buffer.from('Q\xff\xff\xff\xff', 'latin1'),
    frame('H', 'body'),
    frame('S', 'body'),
    frame('c', 'body'),
  ];
  for (const bytes of garbage) {
    const client = await connect();
    client.send(frame('Q', 'select pg_sleep(0.05)'), bytes, frame('Q', INSERT));
    await client.relay.done;
    await expect.poll(() => client.closed).toBe(true);
    expect(types(client), String(bytes)).toBe('TDCZE');
    expect(fatal(client)).toContain('C08P01');
  }
  expect(await rows()).toBe(0);
});

test('a cancel reaches what runs, and only that', async () => {
  const client = await connect();
  client.send(frame('Q', 'select pg_sleep(60)'));
  await sleeping(client.pid);
  await client.relay.cancel();
  await expect.poll(() => types(client)).toBe('TEZ');
  expect(fatal(client)).toContain('C57014');
  // Late ones hit nothing: the connection is idle.
  for (let i = 0; i < 20; i += 1) await client.relay.cancel();
  client.send(frame('Q', 'select pg_sleep(0.1)'));
  await expect.poll(() => types(client)).toBe('TEZTDCZ');
  client.close();
});

test('a Query in front of Terminate is committed although it waits for a hook, or for what a RESET took off, when the client has gone', async () => {
  let decide: () => void = () => {};
  const thinking = new Promise<void>((resolve) => {
    decide = resolve;
  });
  const hooked = await connect({ query: (statement) => thinking.then(() => statement) });
  const refreshed = await connect({ refresh: () => thinking });
  refreshed.send(frame('Q', 'reset all'));
  await expect.poll(() => types(refreshed)).toMatch(/CZ$/);
  for (const client of [hooked, refreshed]) {
    client.send(frame('Q', INSERT), frame('X'));
    client.socket.end();
    await once(client.socket, 'close');
  }
  decide();
  for (const client of [hooked, refreshed]) {
    expect(await client.relay.done).toEqual({ reason: { kind: 'client' }, server: 'dirty' });
  }
  expect(await rows()).toBe(2);
});

test('a Query that waits for a hook when the client vanishes without Terminate is not carried out', async () => {
  let decide: () => void = () => {};
  const thinking = new Promise<void>((resolve) => {
    decide = resolve;
  });
  const client = await connect({ query: (statement) => thinking.then(() => statement) });
  client.send(frame('Q', INSERT), frame('Q', INSERT));
  await new Promise((resolve) => client.socket.write('', resolve));
  client.socket.destroy();
  expect(await client.relay.done).toEqual({ reason: { kind: 'lost' }, server: 'dirty' });
  decide();
  await sleep(50);
  expect(await rows()).toBe(0);
});

test('a Query that waits for a hook when the client half-closes is carried out and answered', async () => {
  let decide: () => void = () => {};
  const thinking = new Promise<void>((resolve) => {
    decide = resolve;
  });
  const client = await connect({ query: (statement) => thinking.then(() => statement) });
  client.send(frame('Q', INSERT), frame('Q', INSERT));
  client.socket.end();
  await expect.poll(() => types(client)).toContain('S');
  decide();
  expect(await client.relay.done).toEqual({ reason: { kind: 'lost' }, server: 'dirty' });
  await expect.poll(() => types(client).replaceAll('S', '')).toBe('CZCZ');
  expect(await rows()).toBe(2);
});

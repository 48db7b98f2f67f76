/** Session mode: a connection is reset behind a session unless that has left nothing, and the next one is of its identity. */
import type { Client } from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { PoolOptions } from '../../core/contract/pool.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { onlyOneWorker } from '../support/only-one-worker.ts';
import { home, startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';

onlyOneWorker('sessions of several workers have no server connection in common');

let postgres: OwnPostgres;
let running: Operated;
let markers = 0;

beforeAll(async () => {
  postgres = await startPostgres({ flags: { log_statement: 'all' } });
  await postgres.sql(
    'create table t (id serial, n int); grant all on t, t_id_seq to writer; insert into t values (1, 1)',
  );
  await postgres.sql('create function hides() returns text language sql as $$ select 1::text $$');
});
afterEach(() => running.gateway.stop());
afterAll(() => postgres.stop());

async function start(pool: Partial<PoolOptions> = {}, plugins: readonly AnyPlugin[] = []): Promise<void> {
  running = await startOperated(postgres, {
    orders: { pool: { mode: 'session', size: 1, ...pool } },
    plugins: [jwt({ issuers: [home.options] }), roles({ claim: 'role', allow: ['writer'] }), ...plugins],
  });
  // Behind the first session the connection is reset, and the gateway asks which functions may leave state.
  const before = await resets();
  await session(nothing);
  await expect.poll(async () => (await resets()) - before).toBe(1);
}

async function come(sub = 'ada', more = {}): Promise<Client> {
  return running.client({ password: home.sign({ sub, role: 'writer' }), ...more });
}

/** How often the server was told to forget a session, by its own log. */
async function resets(): Promise<number> {
  const marker = `marker ${(markers += 1)} of this file`;
  await postgres.sql(`select '${marker}'`);
  // What was written before it is there as well then.
  await expect.poll(() => postgres.log()).toContain(marker);
  return postgres.log().split('statement: DISCARD ALL').length - 1;
}

/** A session that does this, and the process that served it. */
async function session(use: (client: Client) => Promise<unknown>, sub?: string, more = {}): Promise<number> {
  const client = await come(sub, more);
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  await use(client);
  await client.end();
  return rows[0]?.pid ?? 0;
}

const nothing = (): Promise<void> => Promise.resolve();

/** Resets between a session that does this, and the next of its identity. */
async function resetsAfter(use: (client: Client) => Promise<unknown>): Promise<number> {
  const before = await resets();
  const served = [await session(use), await session(nothing)];
  expect(served[0]).toBe(served[1]);
  return (await resets()) - before;
}

const asks = (sql: string) => (client: Client) => client.query(sql).catch(() => {});

test.each([
  'select n from t',
  'update t set n = n',
  'begin; select 1; commit',
  'begin isolation level serializable; rollback',
  'select 1/0',
  'show timezone',
  'this is no statement',
])('nothing is reset behind %s', async (sql) => {
  await start();
  expect(await resetsAfter(asks(sql))).toBe(0);
});

test.each([
  'set work_mem = 1024',
  'set session characteristics as transaction read only',
  'reset all',
  'listen news',
  'prepare p as select 1',
  'declare c cursor with hold for select 1',
  'create temp table mine (n int)',
  'create table pg_temp.mine as select 1',
  'select 1 into temp mine',
  'select 1 as one into mine',
  'select pg_advisory_lock(1)',
  `select set_config('work_mem', '1MB', false)`,
  `update pg_settings set setting = '1MB' where name = 'work_mem'`,
  `select nextval('t_id_seq')`,
  'insert into t (n) values (2)',
  'with made as (insert into t (n) values (3) returning n) select n from made',
  'do $$ begin end $$',
  `select /* ${'long '.repeat(300)} */ 1`,
])('the connection is reset behind %s', async (sql) => {
  await start();
  expect(await resetsAfter(asks(sql))).toBe(1);
});

test('the connection is reset behind the extended protocol, which leaves a statement, and behind a long session', async () => {
  await start();
  expect(await resetsAfter((client) => client.query('select $1::int', [1]))).toBe(1);
  expect(await resetsAfter((client) => client.query({ name: 'named', text: 'select 1' }))).toBe(1);
  const many = async (client: Client): Promise<void> => {
    for (let i = 0; i < 25; i += 1) await client.query('select 1');
  };
  expect(await resetsAfter(many)).toBe(1);
});

test('a setting that a function has hidden is seen where the server reports it', async () => {
  await postgres.sql(
    `create or replace function hides() returns text language sql as $$ select set_config('TimeZone', 'Asia/Tokyo', false) $$`,
  );
  await start();
  expect(await resetsAfter(asks('select hides()'))).toBe(1);
});

test('another identity never gets it as it is, and the first to come waits for the reset', async () => {
  await start();
  const before = await resets();
  const pids = [];
  for (const sub of ['ada', 'ada', 'grace', 'ada', 'ada']) pids.push(await session(nothing, sub));
  expect(new Set(pids).size).toBe(1);
  // Behind grace, and behind the first ada after her, the connection is reset in advance.
  await expect.poll(async () => (await resets()) - before).toBe(3);
});

test('sessions of one identity with other startup settings find their own', async () => {
  await start();
  const zone = async (options: string): Promise<unknown> => {
    const client = await come('ada', { options });
    const { rows } = await client.query<{ zone: string }>(`select current_setting('TimeZone') as zone`);
    await client.end();
    return rows[0]?.zone;
  };
  const usual = await zone('');
  expect(await zone('-c TimeZone=Asia/Tokyo')).toBe('Asia/Tokyo');
  expect(await zone('-c TimeZone=Asia/Tokyo')).toBe('Asia/Tokyo');
  expect(await zone('')).toBe(usual);
});

test(`with reset: 'always' every session finds a connection that has been reset`, async () => {
  await start({ reset: 'always' });
  const before = await resets();
  for (let i = 0; i < 2; i += 1) await session(nothing);
  await expect.poll(async () => (await resets()) - before).toBe(2);
});

test('a text that a plugin has put in the place of the client’s is what counts', async () => {
  const setting: AnyPlugin = {
    name: 'setting',
    onQuery: (_, statement) =>
      statement.kind === 'query' && statement.sql === 'select 1'
        ? statement.withSql(`select set_config('work_mem', '1MB', false)`)
        : undefined,
  };
  await start({}, [setting]);
  expect(await resetsAfter(asks('select 2'))).toBe(0);
  expect(await resetsAfter(asks('select 1'))).toBe(1);
});

test('a client that is lost in the middle of something leaves no connection behind', async () => {
  await start();
  const client = await come();
  await client.query('begin');
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  const next = await session(nothing);
  expect(next).not.toBe(rows[0]?.pid);
});

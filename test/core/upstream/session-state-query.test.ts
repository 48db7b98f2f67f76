/** What is found on a connection that its session will want again, and what looking for it leaves alone. */
import { afterEach, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import { querySessionState } from '../../../core/upstream/session-state-query.ts';
import type { Pool } from '../../../core/upstream/pool/pool.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { poolOf, query, request } from './support.ts';

const postgres = sharedPostgres();
const database: DatabaseOptions = {
  host: postgres.host,
  port: postgres.port,
  login: { kind: 'password', passwords: postgres.passwords },
};

let pool: Pool | undefined;
afterEach(() => pool?.close());

async function connect() {
  pool = poolOf(database);
  return pool.acquire(request());
}

test.each([
  ['nothing', 'select 1', undefined],
  ['what a reset would take and nobody waits for', "select set_config('app.mark', 'x', false)", undefined],
  ['a lock of a transaction', 'begin; select pg_advisory_xact_lock(1); commit', undefined],
  ['a cursor that ended with its transaction', 'begin; declare c cursor for select 1; commit', undefined],
  ['a channel', 'listen news', 'LISTEN'],
  ['a channel that no tag shows', "do $$ begin execute 'listen news'; end $$", 'LISTEN'],
  ['a cursor', 'declare c cursor with hold for select 1', 'DECLARE CURSOR'],
  ['a statement', "do $$ begin execute 'prepare p as select 1'; end $$", 'PREPARE'],
  ['a table', 'select 1 as i into temp table kept', 'temporary objects'],
  [
    'a function',
    'create function pg_temp.f() returns int language sql as $$ select 1 $$',
    'temporary objects',
  ],
  ['a lock', 'select pg_advisory_lock(7)', 'advisory lock'],
  ['a shared lock', 'select pg_advisory_lock_shared(7, 8)', 'advisory lock'],
])('%s', async (_what, sql, found) => {
  const connection = await connect();
  await query(connection, sql);
  expect(await querySessionState(connection)).toBe(found);
  await query(connection, 'discard all');
  expect(await querySessionState(connection)).toBe(undefined);
});

test('a role cannot answer for the catalogue', async () => {
  const connection = await connect();
  await query(
    connection,
    `create temp view pg_locks as select 'none'::text as locktype, 0 as pid; create temp view pg_depend as select 1;
    create function pg_temp.pg_my_temp_schema() returns oid language sql as 'select 0::oid';
    set search_path = pg_temp, pg_catalog; select pg_catalog.pg_advisory_lock(9)`,
  );
  expect(await querySessionState(connection)).toBe('temporary objects');
});

test('where it cannot be found out, it is taken for something', async () => {
  const name = await freshDatabase();
  await postgres.sql('revoke select on pg_catalog.pg_locks from public', name);
  pool = poolOf(database);
  const connection = await pool.acquire(request({ database: name }));
  expect(await querySessionState(connection)).toBe('what it left is not known');
  expect(await query(connection, 'select 1')).toEqual([['1']]);
});

test('a notification that comes meanwhile is still there, and so is the unnamed statement', async () => {
  const connection = await connect();
  await query(connection, "listen news; notify news, 'one'");
  await postgres.sql("notify news, 'two'");
  expect(await querySessionState(connection)).toBe('LISTEN');
  const seen: string[] = [];
  await new Promise<void>((resolve) => {
    connection.channel.listen({
      bytes(chunk) {
        seen.push(chunk.toString('latin1'));
        if (seen.join('').includes('two')) resolve();
      },
      drained() {},
      closed: () => resolve(),
    });
    connection.channel.resume();
  });
  connection.channel.pause();
  expect(seen.join('')).toMatch(/^A[^]*two/);
  const names = 'select name, from_sql from pg_prepared_statements';
  expect(await query(connection, names)).toEqual([]);
});

test('a connection that is gone is an error', async () => {
  const connection = await connect();
  await postgres.sql(`select pg_terminate_backend(${connection.pid})`);
  await expect(querySessionState(connection)).rejects.toMatchObject({ sqlstate: '08001' });
});

test('a connection that has to stay is known for it, and counted once for its session', async () => {
  const connection = await connect();
  const { servers } = pool ?? {};
  servers?.pin(connection, 'LISTEN');
  expect(servers?.pins).toBe(1);
  expect(servers?.all('lent').map(({ pinned }) => pinned)).toEqual(['LISTEN']);
  await pool?.release(connection, 'dirty');
  await pool?.acquire(request());
  expect(servers?.all('lent').map(({ pinned }) => pinned)).toEqual([undefined]);
  expect(servers?.pins).toBe(1);
});

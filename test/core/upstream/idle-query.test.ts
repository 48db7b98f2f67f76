/** Questions of the gateway between two transactions, to servers that are slow or silent. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { askIdle } from '../../../core/upstream/idle-query.ts';
import { encodeExecutions, ownName } from '../../../core/upstream/query.ts';
import { querySettings } from '../../../core/upstream/settings-query.ts';
import type { Pool } from '../../../core/upstream/pool/pool.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { poolOf, request } from './support.ts';

const postgres = sharedPostgres();
let pool: Pool;
let connection: ServerConnection;

beforeEach(async () => {
  const { host, port, passwords } = postgres;
  pool = poolOf({ host, port, login: { kind: 'password', passwords } });
  connection = await pool.acquire(request());
});
afterEach(async () => {
  pool.checkIn(connection, 'close');
  await pool.close();
});

const sleep = (seconds: number): Buffer =>
  encodeExecutions({ sql: `select pg_catalog.pg_sleep(${seconds})`, values: [[]], name: ownName() });
const ask = (seconds: number, ms: number, cancel?: () => Promise<boolean>) => {
  const { channel, parameters } = connection;
  const asked = cancel ? ({ channel, parameters, cancel } as unknown as ServerConnection) : connection;
  return askIdle(asked, { batch: sleep(seconds), about: 'a test', ms });
};

test('an answer that comes in time is the answer, and nothing is cancelled', async () => {
  expect(await ask(0, 20_000, () => Promise.reject(new Error('cancelled')))).toEqual({ rows: [['']] });
});

test('a slow question is cancelled, and the connection goes on with what its session has set', async () => {
  await askIdle(connection, {
    batch: encodeExecutions({ sql: "set work_mem = '3MB'", values: [[]], name: ownName() }),
    about: 'a test',
  });
  expect(await ask(60, 1_000)).toMatchObject({ rows: [], error: { code: '57014' } });
  const asked = await querySettings(connection, { names: ['work_mem'], origins: true });
  expect(asked?.values.get('work_mem')).toBe('3MB');
  expect(asked?.ofSession.has('work_mem')).toBe(true);
});

test('a server that does not answer to the cancel either is lost', async () => {
  const asked = ask(60, 100, () => Promise.resolve(true));
  await expect(asked).rejects.toMatchObject({ sqlstate: '08001' });
});

test('a cancel that may still hit makes the connection useless, whatever it answers', async () => {
  await expect(ask(0.3, 100, () => Promise.resolve(false))).rejects.toMatchObject({ sqlstate: '08001' });
});

test('which settings are of the session is told for those that were asked for, and what the role may not see has no value', async () => {
  const names = ['log_statement', 'data_directory', 'my.mark', 'role', 'no_such_setting', `it's "\\ odd"`];
  const asked = await querySettings(connection, {
    names: names.map((name) => name.replaceAll(' ', '_')),
    origins: true,
  });
  expect([...(asked?.ofServer ?? [])]).toEqual(['log_statement']);
  expect([...(asked?.values.values() ?? [])]).toEqual(['none', null, null, 'none', null, null]);
});

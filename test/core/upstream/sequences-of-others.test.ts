/** A connection on which a session took values of a sequence, and nothing else: who gets it as it is, and who discards them. */
import { expect, test } from 'vitest';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import type { Pool } from '../../../core/upstream/pool/pool.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { poolOf, request } from './support.ts';

const postgres = sharedPostgres();

/** A pool with one connection, which the first of these sessions has had. */
async function used(): Promise<{ pool: Pool; first: object; connection: ServerConnection }> {
  const { host, port, passwords } = postgres;
  const login = { kind: 'password', passwords } as const;
  const pool = poolOf({ host, port, login, pool: { size: 1, mode: 'transaction' } });
  const first = {};
  const connection = await pool.acquire(request({ holder: first }));
  pool.checkIn(connection, 'sequences');
  return { pool, first, connection };
}

/** What a session of the identity gets at once. */
function got(pool: Pool, holder: object, discardsSequences = true): ServerConnection | undefined {
  const none = { granted() {}, refused() {} };
  const waiter = pool.waiter({ ...request({ holder }), discardsSequences }, none);
  const connection = pool.checkOut(waiter);
  if (!connection) pool.cancel(waiter, new Error('over'));
  return connection;
}

test('the same session gets it back with its values', async () => {
  const { pool, first, connection } = await used();
  expect(got(pool, first)).toBe(connection);
  expect(connection.sequencesOfOthers).toBeUndefined();
  await pool.close();
});

test('another session that discards them by itself gets it at once, and the next one too as long as that was not done', async () => {
  const { pool, connection } = await used();
  for (const each of [{}, {}]) {
    expect(got(pool, each)).toBe(connection);
    expect(connection.sequencesOfOthers).toBe('present');
    pool.checkIn(connection, 'clean');
  }
  expect(got(pool, {})).toBe(connection);
  connection.sequencesOfOthers = 'discarded';
  pool.checkIn(connection, 'clean');
  expect(got(pool, {})).toBe(connection);
  expect(connection.sequencesOfOthers).toBeUndefined();
  await pool.close();
});

test('a session that does not gets it when they have been discarded', async () => {
  const { pool, connection } = await used();
  expect(got(pool, {}, false)).toBeUndefined();
  expect(await pool.acquire(request({ holder: {} }))).toBe(connection);
  expect(connection.sequencesOfOthers).toBeUndefined();
  await pool.close();
});

test('what a function may have left otherwise is no matter of sequences', async () => {
  const { pool, connection } = await used();
  expect(got(pool, {})).toBe(connection);
  pool.checkIn(connection, 'suspect');
  expect(got(pool, {})).toBeUndefined();
  await pool.close();
});

import { expect, test } from 'vitest';
import { parseDatabase } from '../../../core/contract/names.ts';
import { whenClosed } from '../../../core/net/channel.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { entryOf, poolOf, query, request, scripted } from './support.ts';
import type { CheckoutRequest } from './support.ts';

const postgres = sharedPostgres();

const entry = (size: number) => entryOf(postgres, { mode: 'session', size });

const backends = (name: string) =>
  postgres.sql(
    `select pid from pg_stat_activity where application_name = '${name}' and backend_type = 'client backend'`,
  );

const as = (name: string, signal?: AbortSignal) =>
  request({ parameters: { application_name: name }, ...(signal && { signal }) });

test('a connection serves one session after the other, each as if it were new', async () => {
  const pool = poolOf(entry(2));
  const first = await pool.acquire(as('fresh'));
  await query(first, 'set work_mem = 65');
  await pool.release(first, 'dirty');
  const second = await pool.acquire(as('again'));
  expect(second.pid).toBe(first.pid);
  const shown = `select current_setting('application_name'), current_setting('work_mem') <> '65kB'`;
  expect(await query(second, shown)).toEqual([['again', 't']]);
  expect(pool).toMatchObject({ size: 1, lent: 1, idle: 0 });
  await pool.close();
});

test.each<[string, CheckoutRequest]>([
  ['another role', { role: 'writer' }],
  ['another database', { database: 'template1' }],
  ['other pinned settings', { settings: { statement_timeout: '5s' } }],
  ['other schemas', { schemas: ['public'] }],
])('%s gets another connection', async (_what, checkout) => {
  const pool = poolOf(entry(2));
  const first = await pool.acquire(request());
  await pool.release(first, 'dirty');
  const second = await pool.acquire(request(checkout));
  expect(second.pid).not.toBe(first.pid);
  await pool.release(second, 'dirty');
  expect((await pool.acquire(request())).pid).toBe(first.pid);
  expect((await pool.acquire(request(checkout))).pid).toBe(second.pid);
  await pool.close();
});

test('no more than size at once: the next waits for a release, in order', async () => {
  const pool = poolOf(entry(2));
  const lent = [await pool.acquire(as('sized')), await pool.acquire(as('sized'))];
  const order: number[] = [];
  const waiting = [1, 2, 3].map(async (i) => {
    const connection = await pool.acquire(as('sized'));
    order.push(i);
    await pool.release(connection, 'dirty');
  });
  expect(pool).toMatchObject({ limit: 2, size: 2, lent: 2, waiting: 3 });
  expect(await backends('sized')).toHaveLength(2);
  for (const connection of lent.splice(0, 1)) await pool.release(connection, 'close');
  await Promise.all(waiting);
  expect(order).toEqual([1, 2, 3]);
  await expect.poll(() => pool.resetting).toBe(0);
  expect(pool).toMatchObject({ size: 2, lent: 1, idle: 1, waiting: 0, opening: 0 });
  await pool.close();
  expect(pool).toMatchObject({ size: 0, lent: 0, waiting: 0 });
});

test('a wait that is too long is 53300, and the queue is empty again', async () => {
  const pool = poolOf(entry(1), { queueMs: 2_000 });
  await pool.acquire(as('late'));
  await expect(pool.acquire(as('late'))).rejects.toMatchObject({ sqlstate: '53300' });
  expect(pool).toMatchObject({ size: 1, waiting: 0 });
  await pool.close();
});

test('without a size there are twenty places', () => {
  const { pool: _pool, ...rest } = entry(1);
  expect(poolOf(rest).limit).toBe(20);
});

test('a release counts once, and a stranger not at all', async () => {
  const [pool, other] = [poolOf(entry(1)), poolOf(entry(1))];
  const connection = await pool.acquire(as('twice'));
  await other.release(connection, 'close');
  expect(pool.size).toBe(1);
  await Promise.all([pool.release(connection, 'close'), pool.release(connection, 'close')]);
  expect(pool.size).toBe(0);
  expect(other.size).toBe(0);
});

test('a released connection counts until the server has closed it', async () => {
  const pool = poolOf(entry(1));
  const connection = await pool.acquire(as('counted'));
  const released = pool.release(connection, 'close');
  expect(pool).toMatchObject({ size: 1, lent: 0 });
  await released;
  expect(pool.size).toBe(0);
  expect(connection.channel.closed).toBe(true);
  await expect.poll(() => backends('counted')).toEqual([]);
});

test('a connection that the server ended is released as well', async () => {
  const pool = poolOf(entry(1));
  const connection = await pool.acquire(as('killed'));
  const closed = whenClosed(connection.channel);
  connection.channel.resume();
  await postgres.sql(`select pg_terminate_backend(${connection.pid})`);
  await closed;
  expect(pool.size).toBe(1);
  await pool.release(connection, 'close');
  expect(pool.size).toBe(0);
});

test('counters are exact after a storm in which callers leave at every moment', async () => {
  const pool = poolOf(entry(4));
  let most = 0;
  const storm = Array.from({ length: 120 }, async (_, i) => {
    const leaving = new AbortController();
    if (i % 2 === 0) setTimeout(() => leaving.abort(new Error('left')), i % 40);
    const connection = await pool.acquire(as('storm', leaving.signal)).catch((error: unknown) => {
      expect(error).toMatchObject({ message: 'left' });
    });
    most = Math.max(most, pool.size);
    if (connection) await pool.release(connection, i % 3 === 0 ? 'close' : 'dirty');
  });
  await Promise.all(storm);
  expect(most).toBe(4);
  await expect.poll(() => pool.resetting + pool.opening).toBe(0);
  expect(pool).toMatchObject({ lent: 0, waiting: 0 });
  expect(pool.size).toBe(pool.idle);
  await pool.close();
  expect(pool.size).toBe(0);
});

test('whoever has left already is refused before anything happens', async () => {
  const pool = poolOf(entry(1));
  await expect(pool.acquire(as('gone', AbortSignal.abort(new Error('left'))))).rejects.toThrow('left');
  expect(pool.size).toBe(0);
});

test('closing refuses whoever waits, connects or comes, closes what is lent, and waits for all of it', async () => {
  const pool = poolOf(entry(2));
  const lent = await pool.acquire(as('closing'));
  const connecting = pool.acquire(as('closing'));
  const waiting = pool.acquire(as('closing'));
  const refused = [connecting, waiting].map((one) =>
    expect(one).rejects.toMatchObject({ sqlstate: '57P03' }),
  );
  await pool.close();
  await Promise.all(refused);
  expect(lent.channel.closed).toBe(true);
  expect(pool).toMatchObject({ size: 0, lent: 0, waiting: 0 });
  await expect(pool.acquire(as('closing'))).rejects.toMatchObject({ sqlstate: '57P03' });
});

test('a session without a role gets nothing', async () => {
  const server = await scripted(() => {});
  const pool = poolOf({ ...entry(1), port: server.port });
  const { role: _role, ...upstream } = request().upstream;
  await expect(pool.acquire({ ...request(), upstream })).rejects.toMatchObject({ sqlstate: '28000' });
  expect(server.accepted).toBe(0);
  expect(pool.size).toBe(0);
  await server.stop();
});

test('the database is the one that the upstream names', async () => {
  const pool = poolOf(entry(1));
  const upstream = { ...request().upstream, database: parseDatabase('template1') };
  const connection = await pool.acquire({ ...request(), upstream });
  expect(await query(connection, 'select current_database()')).toEqual([['template1']]);
  await pool.close();
});

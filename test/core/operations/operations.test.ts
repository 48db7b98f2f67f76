/** PAUSE, RESUME, RECONNECT and KILL: who waits, what is closed, and what comes after. */
import { tmpdir } from 'node:os';
import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { checkConfig } from '../../../core/config/check.ts';
import { databaseOf } from '../../support/gateway.ts';
import { home, operatedConfig } from '../../support/operated.ts';
import type { Operated, OperatedOptions } from '../../support/operated.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { RawClient, cancelRequest } from '../../support/raw-client.ts';
import { operatedGateways, settled, stateOf, until } from './operator-tools.ts';

const postgres = sharedPostgres();
const start = operatedGateways();

type Mode = 'session' | 'transaction';
const pooled = (mode: Mode, more: object = {}): OperatedOptions => ({ orders: { pool: { mode, ...more } } });

const pid = async (client: Client): Promise<number> =>
  (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid ?? 0;
const waiting = (running: Operated, count: number): Promise<void> =>
  until(async () => (await stateOf(running))['waiting'] === count);

test('transaction mode: a pause waits for the transaction, the next one waits for the resume', async () => {
  const running = await start(pooled('transaction'));
  const [busy, other] = [await running.client(), await running.client()];
  await busy.query('begin');
  const before = await pid(busy);
  const desk = await running.console();
  const pause = desk.query('PAUSE orders');
  await until(async () => (await stateOf(running))['paused'] === true);
  const held = other.query<{ answer: number }>('select 42 as answer');
  await waiting(running, 1);
  expect(await pid(busy)).toBe(before);
  expect(await settled(pause)).toBe(false);
  await busy.query('commit');
  expect((await pause).command).toBe('PAUSE');
  expect(await stateOf(running)).toMatchObject({ connections: 0, paused: true, waiting: 1, sessions: 2 });
  expect(await settled(held)).toBe(false);
  expect((await desk.query('RESUME orders')).command).toBe('RESUME');
  expect((await held).rows).toEqual([{ answer: 42 }]);
  expect(await pid(busy)).not.toBe(before);
  expect(running.lines('operator')).toMatchObject([
    { verb: 'PAUSE', database: 'orders', subject: 'olga', issuer: home.issuer, via: 'console' },
    { verb: 'RESUME', database: 'orders', subject: 'olga', issuer: home.issuer, via: 'console' },
  ]);
});

test('session mode: a pause waits for the sessions, new ones wait for the resume', async () => {
  const running = await start(pooled('session'));
  const first = await running.client();
  const { status, body } = await running.ask('POST', '/v1/databases/orders/pause?wait=50ms');
  expect([status, body]).toMatchObject([202, { paused: true, connections: 1 }]);
  expect(await pid(first)).toBeGreaterThan(0);
  const second = running.client();
  await waiting(running, 1);
  await first.end();
  expect(await running.ask('POST', '/v1/databases/orders/pause')).toMatchObject({
    status: 200,
    body: { connections: 0, waiting: 1 },
  });
  expect(await settled(second)).toBe(false);
  expect((await running.ask('POST', '/v1/databases/orders/resume')).status).toBe(200);
  expect(await pid(await second)).toBeGreaterThan(0);
  await (await second).end();
});

test('who waits for a paused entry is refused when the time of the queue is over, and its session goes on', async () => {
  const running = await start(pooled('transaction', { queueTimeout: '3s' }));
  const client = await running.client();
  await running.ask('POST', '/v1/databases/orders/pause');
  await expect(client.query('select 1')).rejects.toMatchObject({ code: '53300' });
  const late = await running.client();
  await expect(late.query('select 1')).rejects.toMatchObject({ code: '53300' });
  // Of a kind that the pool does not know: its login waits.
  await expect(running.client({ application_name: 'new' })).rejects.toMatchObject({ code: '53300' });
  await running.ask('POST', '/v1/databases/orders/resume');
  // A new connection may take longer than the time of the queue.
  await expect.poll(() => client.query('select 1').then(({ rowCount }) => rowCount)).toBe(1);
});

test('who has no time left to log in to a paused entry reads that it is paused, and to come again', async () => {
  const running = await start({ ...pooled('transaction'), loginTimeout: '5s' });
  const client = await running.client();
  await running.ask('POST', '/v1/databases/orders/pause');
  await expect(running.client({ application_name: 'new' })).rejects.toMatchObject({
    code: '57P03',
    message: 'database "orders" is paused',
    hint: 'An operator has paused it. Try again later.',
  });
  await running.ask('POST', '/v1/databases/orders/resume');
  expect((await client.query('select 1')).rows).toHaveLength(1);
  await (await running.client()).end();
});

test('a pause that waits is called off by a resume, or given up, which does not take it back', async () => {
  const running = await start(pooled('transaction'));
  const client = await running.client();
  await client.query('begin');
  const desk = await running.console();
  const paused = desk.query('PAUSE orders').catch((error: unknown) => error);
  const http = running.ask('POST', '/v1/databases/orders/pause');
  await until(() => Promise.resolve(running.lines('operator').length === 2));
  await running.ask('POST', '/v1/databases/orders/resume');
  expect(await paused).toMatchObject({ code: '57014', severity: 'ERROR' });
  expect(await http).toMatchObject({ status: 409 });
  const again = desk.query('PAUSE').catch((error: unknown) => error);
  await until(async () => (await stateOf(running))['paused'] === true);
  const { processID, secretKey } = desk as unknown as { processID: number; secretKey: number };
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey);
  const canceling = await RawClient.connect(running.port);
  canceling.send(cancelRequest(processID, secret));
  expect(await again).toMatchObject({ code: '57014', hint: expect.stringContaining('RESUME') as string });
  expect(await stateOf(running)).toMatchObject({ paused: true });
  expect((await desk.query('SHOW STATE')).rows).toContainEqual({ key: 'paused', value: 'yes' });
  await desk.query('RESUME');
  expect(await stateOf(running)).toMatchObject({ paused: false });
  await client.query('commit');
});

test('an operator who leaves while a pause waits leaves nothing behind but the pause', async () => {
  const running = await start(pooled('transaction'));
  const client = await running.client();
  await client.query('begin');
  const desk = await running.console();
  desk.query('PAUSE orders').catch(() => {});
  await until(async () => (await stateOf(running))['paused'] === true);
  (desk as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  await until(() => Promise.resolve(running.lines('close').some(({ subject }) => subject === 'olga')));
  expect(await stateOf(running)).toMatchObject({ paused: true, sessions: 1 });
  await client.query('commit');
  await until(async () => (await stateOf(running))['connections'] === 0);
});

test('a pool that is empty for now, because it was idle or paused, serves the sessions that come back to it', async () => {
  const databases = {
    orders: databaseOf(postgres, { pool: { mode: 'transaction', idleTimeout: '10ms' } }),
    other: databaseOf(postgres),
  };
  const running = await start({ databases });
  const client = await running.client();
  await until(async () => (await stateOf(running))['connections'] === 0);
  // A pool that is made lets go of those that nobody needs.
  await (await running.client({ database: 'other' })).end();
  expect((await client.query('select 1')).rows).toHaveLength(1);
});

test('all at once: the entries that were paused by name stay so', async () => {
  const running = await start({
    databases: { orders: databaseOf(postgres), other: databaseOf(postgres) },
  });
  const desk = await running.console();
  await desk.query('PAUSE other');
  await desk.query('PAUSE');
  const paused = async (): Promise<readonly unknown[]> =>
    (await desk.query<{ paused: number }>('SHOW DATABASES')).rows.map((row) => row.paused);
  expect(await paused()).toEqual([1, 1]);
  await desk.query('RESUME');
  expect(await paused()).toEqual([0, 1]);
  await desk.query('RESUME other');
  expect(await paused()).toEqual([0, 0]);
});

test("the names that '*' serves are paused one by one", async () => {
  const running = await start({ databases: { '*': databaseOf(postgres) } });
  const client = await running.client({ database: 'one' });
  await client.end();
  expect((await running.ask('POST', '/v1/databases/one/pause')).status).toBe(200);
  expect(await pid(await running.client({ database: 'two' }))).toBeGreaterThan(0);
  expect((await running.ask('POST', '/v1/databases/*/pause')).status).toBe(404);
  expect(await running.ask('GET', '/v1/databases/one')).toMatchObject({ body: { paused: true } });
});

describe('a reload', () => {
  const reload = ({ gateway }: Operated, options: OperatedOptions): Promise<void> =>
    gateway.reload(checkConfig({ listen: { port: 0 }, ...operatedConfig(postgres, options) }, tmpdir()));

  test('leaves an entry paused, be it unchanged or another', async () => {
    const running = await start(pooled('transaction'));
    const client = await running.client();
    await running.ask('POST', '/v1/databases/orders/pause');
    await reload(running, pooled('transaction'));
    const held = client.query('select 1');
    await waiting(running, 1);
    await reload(running, pooled('transaction', { size: 2 }));
    const moved = running.client();
    await waiting(running, 2);
    expect(await stateOf(running)).toMatchObject({ paused: true, size: 2, connections: 0 });
    await running.ask('POST', '/v1/databases/orders/resume');
    await held;
    expect(await pid(await moved)).toBeGreaterThan(0);
  });

  test('may give the console another name', async () => {
    const running = await start();
    const before = await running.console();
    await reload(running, { console: { database: 'desk' } });
    await expect(running.console()).rejects.toMatchObject({ code: '28000' });
    expect((await (await running.console({ database: 'desk' })).query('SHOW STATE')).rows).toHaveLength(3);
    expect((await before.query('SHOW STATE')).rows).toHaveLength(3);
  });

  test('that removes an entry takes its pause away', async () => {
    const other = { databases: { other: databaseOf(postgres) } };
    const running = await start(pooled('transaction'));
    await running.ask('POST', '/v1/databases/orders/pause');
    await reload(running, other);
    expect((await running.ask('GET', '/v1/databases/orders')).status).toBe(404);
    await reload(running, pooled('transaction'));
    await until(async () => (await stateOf(running))['paused'] === false);
    expect(await pid(await running.client())).toBeGreaterThan(0);
  });
});

test('a reconnect replaces what is idle at once and what is in use when it is free', async () => {
  const running = await start(pooled('transaction', { size: 2, idleTimeout: '10m' }));
  const [busy, idle] = [await running.client(), await running.client()];
  await busy.query('begin');
  const [kept, dropped] = [await pid(busy), await pid(idle)];
  expect(kept).not.toBe(dropped);
  expect((await running.ask('POST', '/v1/databases/orders/reconnect')).status).toBe(200);
  expect(await pid(idle)).not.toBe(dropped);
  expect(await pid(busy)).toBe(kept);
  await busy.query('commit');
  const after = [await pid(busy), await pid(idle), await pid(busy)];
  expect(after).not.toContain(kept);
  expect(after).not.toContain(dropped);
});

describe.each(['session', 'transaction'] as const)('a kill in %s mode', (mode) => {
  test('ends every session of the entry with 57P01, whatever it does, and pauses', async () => {
    const running = await start({
      databases: { orders: databaseOf(postgres, { pool: { mode, size: 2 } }), other: databaseOf(postgres) },
    });
    const [idle, busy] = [await running.client(), await running.client()];
    const bystander = await running.client({ database: 'other' });
    const killed = new Promise<Error>((resolve) => idle.once('error', resolve));
    const sleeping = busy.query('select pg_sleep(60)');
    await until(async () => (await running.ask('GET', '/v1/sessions')).body !== undefined);
    const queued = mode === 'session' ? running.client() : undefined;
    if (queued) await waiting(running, 1);
    const ended = Promise.all([
      expect(killed).resolves.toMatchObject({ code: '57P01' }),
      expect(sleeping).rejects.toMatchObject({ code: '57P01' }),
      queued && expect(queued).rejects.toMatchObject({ code: '57P01' }),
    ]);
    expect(await running.ask('POST', '/v1/databases/orders/kill')).toMatchObject({
      status: 200,
      body: { paused: true, connections: 0 },
    });
    await ended;
    await until(async () => (await stateOf(running))['sessions'] === 0);
    const count = `select count(*)::int from pg_stat_activity where query like 'select pg_sleep(60)%' and state = 'active'`;
    await until(async () => (await bystander.query<{ count: number }>(count)).rows[0]?.count === 0);
    const late = running.client().then(pid);
    await waiting(running, 1);
    await running.ask('POST', '/v1/databases/orders/resume');
    expect(await late).toBeGreaterThan(0);
  });
});

test('one session is ended by its id, and no other', async () => {
  const running = await start(pooled('transaction'));
  const [victim, other] = [await running.client({ application_name: 'victim' }), await running.client()];
  const desk = await running.console();
  const { rows } = await desk.query<{ id: string; application_name: string }>('SHOW CLIENTS');
  const id = rows.find((row) => row.application_name === 'victim')?.id ?? '';
  const ended = new Promise<Error>((resolve) => victim.once('error', resolve));
  await desk.query(`KILL_CLIENT ${id}`);
  expect(await ended).toMatchObject({ code: '57P01' });
  await other.query('select 1');
  await expect(desk.query(`KILL_CLIENT ${id}`)).rejects.toMatchObject({ code: '22023' });
  expect((await running.ask('DELETE', `/v1/sessions/${id}`)).status).toBe(404);
  const sessions = (await running.ask('GET', '/v1/sessions')).body as {
    sessions: { id: string; database: string }[];
  };
  const left = sessions.sessions.find(({ database }) => database === 'orders')?.id ?? '';
  expect((await running.ask('DELETE', `/v1/sessions/${left}`)).status).toBe(204);
  await expect(other.query('select 1')).rejects.toThrow();
});

test('a gateway that stops does not wait for a pause', async () => {
  const running = await start(pooled('transaction'));
  const client = await running.client();
  await client.query('begin');
  const desk = await running.console();
  const gone = new Promise((resolve) => desk.once('end', resolve));
  const paused = desk.query('PAUSE orders').catch((error: unknown) => error);
  await until(async () => (await stateOf(running))['paused'] === true);
  await running.gateway.stop();
  expect(await paused).toMatchObject({ code: '57P01' });
  await gone;
});

test('over HTTP, what is not there and what is not meant is said so', async () => {
  const running = await start();
  const ask: Operated['ask'] = (...asked) => running.ask(...asked);
  expect(await ask('POST', '/v1/databases/nowhere/pause')).toEqual({
    status: 404,
    body: { error: 'no such database: nowhere' },
  });
  expect(await ask('GET', '/v1/databases/nowhere')).toMatchObject({ status: 404 });
  expect(await ask('GET', '/v1/databases/orders/pause')).toMatchObject({ status: 405 });
  expect(await ask('POST', '/v1/databases/orders')).toMatchObject({ status: 405 });
  expect(await ask('POST', '/v1/databases/orders/explode')).toMatchObject({ status: 404 });
  expect(await ask('POST', '/v1/databases/orders/pause?wait=long')).toMatchObject({ status: 400 });
  expect(await ask('POST', '/v1/databases/%ff/pause')).toMatchObject({ status: 400 });
  expect(await ask('DELETE', '/v1/sessions/none')).toMatchObject({ status: 404 });
  expect(await ask('POST', '/v1/reload')).toMatchObject({ status: 501 });
  expect(await ask('GET', '/v1/databases')).toMatchObject({
    status: 200,
    body: { databases: [{ name: 'orders', paused: false, mode: 'session' }] },
  });
});

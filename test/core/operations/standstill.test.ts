/** DISABLE, WAIT_CLOSE, SUSPEND and SHUTDOWN: who is let in, what is waited for, and what goes on. */
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { checkConfig } from '../../../core/config/check.ts';
import { databaseOf } from '../../support/gateway.ts';
import { home, operatedConfig } from '../../support/operated.ts';
import type { Operated, OperatedOptions } from '../../support/operated.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { RawClient, startup } from '../../support/raw-client.ts';
import { cancel, operatedGateways, settled, show, stateOf, until } from './operator-tools.ts';

const start = operatedGateways();

type Mode = 'session' | 'transaction';
const pooled = (mode: Mode, more: object = {}): OperatedOptions => ({
  orders: { pool: { mode, idleTimeout: '10m', ...more } },
});
const reload = ({ gateway }: Operated, options: OperatedOptions): Promise<void> =>
  gateway.reload(
    checkConfig({ listen: { port: 0 }, ...operatedConfig(sharedPostgres(), options) }, tmpdir()),
  );

const verbs = (running: Operated): readonly unknown[] => running.lines('operator').map(({ verb }) => verb);

describe('DISABLE', () => {
  test.each(['session', 'transaction'] as const)(
    '%s mode: who is there goes on, who comes is refused',
    async (mode) => {
      const running = await start(pooled(mode));
      const client = await running.client();
      expect(await running.ask('POST', '/v1/databases/orders/disable')).toMatchObject({
        status: 200,
        body: { disabled: true, paused: false, sessions: 1 },
      });
      await expect(running.client()).rejects.toMatchObject({
        severity: 'FATAL',
        code: '55000',
        message: 'database "orders" is not currently accepting connections',
      });
      expect(running.lines('login refused')).toMatchObject([
        { sqlstate: '55000', reason: expect.stringContaining('an operator has disabled it') as string },
      ]);
      // Only a good token is told.
      await expect(running.client({ password: 'no-token' })).rejects.toMatchObject({ code: '28P01' });
      for (let time = 0; time < 3; time += 1) expect((await client.query('select 1')).rows).toHaveLength(1);
      expect(await running.ask('POST', '/v1/databases/orders/enable')).toMatchObject({
        body: { disabled: false },
      });
      await (await running.client()).end();
      expect(running.lines('operator')).toMatchObject([
        { verb: 'DISABLE', database: 'orders', subject: 'olga', via: 'http' },
        { verb: 'ENABLE', database: 'orders', subject: 'olga', via: 'http' },
      ]);
    },
  );

  test('outlives a reload, unless that removes the entry', async () => {
    const running = await start(pooled('session'));
    const desk = await running.console();
    await desk.query('DISABLE orders');
    await reload(running, pooled('session', { size: 2 }));
    await expect(running.client()).rejects.toMatchObject({ code: '55000' });
    await reload(running, { databases: { other: databaseOf(sharedPostgres()) } });
    await reload(running, pooled('session'));
    await until(async () => (await stateOf(running))['disabled'] === false);
    await (await running.client()).end();
  });

  test("is by the name that a client writes where '*' serves it, and no name is needed to be known before", async () => {
    const running = await start({ databases: { '*': databaseOf(sharedPostgres()) } });
    const desk = await running.console();
    await desk.query('DISABLE one');
    await expect(running.client({ database: 'one' })).rejects.toMatchObject({ code: '55000' });
    await (await running.client({ database: 'two' })).end();
    expect((await show(desk, 'DATABASES')).find(({ name }) => name === 'one')).toMatchObject({
      disabled: 1,
    });
    expect((await running.ask('POST', '/v1/databases/*/disable')).status).toBe(404);
  });
});

describe('WAIT_CLOSE', () => {
  test('waits for what a RECONNECT has left in use, and for nothing else', async () => {
    const running = await start(pooled('transaction'));
    const desk = await running.console();
    const [busy, other] = [await running.client(), await running.client()];
    await busy.query('begin');
    await desk.query('WAIT_CLOSE');
    await desk.query('RECONNECT orders');
    const waited = desk.query('WAIT_CLOSE orders');
    expect(await settled(waited)).toBe(false);
    const second = await running.console();
    expect((await show(second, 'SERVERS')).map(({ close_needed }) => close_needed)).toContain(1);
    expect(await running.ask('POST', '/v1/databases/orders/wait-close?wait=50ms')).toMatchObject({
      status: 202,
    });
    // A new connection is not waited for.
    await other.query('begin');
    await busy.query('commit');
    expect((await waited).command).toBe('WAIT');
    expect(await running.ask('POST', '/v1/databases/orders/wait-close')).toMatchObject({ status: 200 });
    expect((await show(second, 'SERVERS')).map(({ close_needed }) => close_needed)).not.toContain(1);
    await other.query('commit');
  });

  test('waits for the sessions of an entry that a reload has changed', async () => {
    const running = await start(pooled('session'));
    const desk = await running.console();
    const before = await running.client();
    await reload(running, pooled('session', { size: 2 }));
    const waited = desk.query('WAIT_CLOSE');
    const after = await running.client();
    expect(await settled(waited)).toBe(false);
    await before.end();
    await waited;
    await after.end();
  });

  test('is given up by a cancel, and by who leaves', async () => {
    const running = await start(pooled('transaction'));
    const [desk, busy] = [await running.console(), await running.client()];
    await busy.query('begin');
    await desk.query('RECONNECT');
    const waited = desk.query('WAIT_CLOSE').catch((error: unknown) => error);
    expect(await settled(waited)).toBe(false);
    await cancel(running, desk);
    expect(await waited).toMatchObject({ code: '57014' });
    expect((await desk.query('SHOW STATE')).rows).toHaveLength(3);
    await busy.query('commit');
  });
});

describe('SUSPEND', () => {
  test.each(['session', 'transaction'] as const)('%s mode: nothing is read until a RESUME', async (mode) => {
    const running = await start(pooled(mode));
    const desk = await running.console();
    const [busy, idle] = [await running.client(), await running.client()];
    await busy.query('begin');
    expect((await desk.query('SUSPEND')).command).toBe('SUSPEND');
    const held = [busy.query('select 1'), idle.query('select 2'), running.client()] as const;
    expect(await settled(Promise.race(held))).toBe(false);
    expect(await show(desk, 'STATE')).toEqual([
      { key: 'active', value: 'no' },
      { key: 'paused', value: 'no' },
      { key: 'suspended', value: 'yes' },
    ]);
    expect(await running.ask('POST', '/v1/suspend')).toMatchObject({ status: 409 });
    await expect(desk.query('SUSPEND')).rejects.toMatchObject({ code: '55000' });
    const readyz = await fetch(`http://127.0.0.1:${running.adminPort}/readyz`);
    expect([readyz.status, await readyz.text()]).toEqual([503, expect.stringContaining('suspended')]);
    await desk.query('RESUME');
    const [first, second, third] = await Promise.all(held);
    expect([first.rows, second.rows]).toHaveLength(2);
    await busy.query('commit');
    await third.end();
  });

  test('operators may come, who comes waits for its login at most, and who leaves meanwhile leaves nothing behind', async () => {
    const running = await start({ loginTimeout: '5s', ...pooled('session') });
    const desk = await running.console();
    await desk.query('SUSPEND');
    expect(await show(await running.console(), 'STATE')).toHaveLength(3);
    await expect(running.client()).rejects.toMatchObject({ code: '57P03' });
    const leaving = await RawClient.connect(running.port);
    leaving.send(startup({ user: '_', database: 'orders' }));
    await until(async () => (await show(desk, 'SOCKETS')).some((one) => one['state'] === 'cl_login'));
    leaving.destroy();
    await until(async () => !(await show(desk, 'SOCKETS')).some((one) => one['state'] === 'cl_login'));
    await desk.query('RESUME');
    await (await running.client()).end();
    expect(running.log().filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('bytes that were under way come whole', async () => {
    const running = await start(pooled('transaction'));
    const [desk, client] = [await running.console(), await running.client()];
    const text = "select i, repeat('x', 1000) as filler from generate_series(1, 20000) i";
    const result = client.query<{ i: number; filler: string }>(text);
    for (let time = 0; time < 5; time += 1) {
      await desk.query('SUSPEND');
      await desk.query('RESUME');
    }
    const { rows } = await result;
    expect(rows.map(({ i }) => i)).toEqual(Array.from({ length: 20_000 }, (_, place) => place + 1));
    expect(rows.every(({ filler }) => filler.length === 1_000)).toBe(true);
  });

  test('is over when the operator who ordered it has left, and not when another one has', async () => {
    const running = await start(pooled('transaction'));
    const [desk, other] = [await running.console(), await running.console()];
    const client = await running.client();
    await desk.query('SUSPEND');
    await desk.query('RESUME');
    await other.query('SUSPEND');
    await desk.end();
    const held = client.query('select 1');
    expect(await settled(held)).toBe(false);
    await other.end();
    expect((await held).rows).toHaveLength(1);
  });

  test('waits for who does not read, and a cancel or the end of the patience has everything go on', async () => {
    const running = await start(pooled('transaction'));
    const [desk, deaf, client] = [await running.console(), await running.client(), await running.client()];
    const { stream } = (deaf as unknown as { connection: { stream: { pause(): void; destroy(): void } } })
      .connection;
    deaf.query("select repeat('x', 1000) from generate_series(1, 50000)").catch(() => {});
    stream.pause();
    await until(async () =>
      (await show(desk, 'ACTIVE_SOCKETS')).some(({ send_avail }) => Number(send_avail) > 0),
    );
    const suspended = desk.query('SUSPEND').catch((error: unknown) => error);
    expect(await settled(suspended)).toBe(false);
    await cancel(running, desk);
    expect(await suspended).toMatchObject({ code: '57014' });
    expect((await client.query('select 1')).rows).toHaveLength(1);
    expect(await running.ask('POST', '/v1/suspend?wait=50ms')).toMatchObject({ status: 409 });
    expect((await client.query('select 1')).rows).toHaveLength(1);
    stream.destroy();
  });

  test('over HTTP it lasts until a resume, and a gateway that stops does not wait for one', async () => {
    const running = await start(pooled('transaction'));
    const client = await running.client();
    expect(await running.ask('POST', '/v1/suspend')).toEqual({ status: 200, body: { suspended: true } });
    const held = client.query('select 1');
    expect(await settled(held)).toBe(false);
    expect(await running.ask('POST', '/v1/resume')).toEqual({
      status: 200,
      body: { resumed: { paused: false, suspended: true } },
    });
    await held;
    await running.ask('POST', '/v1/suspend');
    const late = running.client().catch((error: unknown) => error);
    const ended = once(client, 'error');
    await running.gateway.drain();
    expect(await ended).toMatchObject([{ code: '57P01' }]);
    expect(await late).toBeInstanceOf(Error);
    expect(verbs(running)).toEqual(['SUSPEND', 'RESUME', 'SUSPEND']);
  });
});

describe('SHUTDOWN', () => {
  const refused = (running: Operated): Promise<unknown> =>
    expect(running.client()).rejects.toMatchObject({ code: '57P03' });

  test('drains: it is answered, idle sessions end at once, transactions may finish', async () => {
    const running = await start(pooled('transaction'));
    const [desk, idle, busy] = [await running.console(), await running.client(), await running.client()];
    await busy.query('begin');
    const ended = Promise.all([desk, idle].map(async (one) => once(one, 'error')));
    expect((await desk.query('SHUTDOWN')).command).toBe('SHUTDOWN');
    for (const [error] of await ended) expect(error).toMatchObject({ code: '57P01' });
    await refused(running);
    expect((await busy.query('select 1')).rows).toHaveLength(1);
    await busy.query('commit');
    await running.gateway.stopped;
    expect(running.lines('operator')).toMatchObject([{ verb: 'SHUTDOWN', subject: 'olga', via: 'console' }]);
  });

  test('WAIT_FOR_SERVERS lets transactions finish, however long they take', async () => {
    const running = await start({ drainTimeout: '50ms', ...pooled('transaction') });
    const [desk, idle, busy] = [await running.console(), await running.client(), await running.client()];
    await busy.query('begin');
    const arriving = await RawClient.connect(running.port);
    arriving.send(startup({ user: '_', database: 'orders' }));
    await arriving.until('R');
    const ended = once(idle, 'error');
    expect((await desk.query('SHUTDOWN WAIT_FOR_SERVERS')).command).toBe('SHUTDOWN');
    expect(await ended).toMatchObject([{ code: '57P01' }]);
    expect(await arriving.error()).toMatchObject({ C: '57P03' });
    await refused(running);
    expect(await settled(running.gateway.stopped)).toBe(false);
    expect((await show(desk, 'POOLS')).find(({ database }) => database === 'orders')).toMatchObject({
      sv_active: 1,
    });
    await busy.query('commit');
    await running.gateway.stopped;
  });

  test('WAIT_FOR_CLIENTS lets clients stay as long as they want, until it is ordered without', async () => {
    const running = await start({ drainTimeout: '50ms', ...pooled('transaction') });
    const [desk, one, other] = [await running.console(), await running.client(), await running.client()];
    await desk.query('SHUTDOWN WAIT_FOR_CLIENTS');
    await refused(running);
    expect((await one.query('select 1')).rows).toHaveLength(1);
    await one.end();
    expect(await settled(running.gateway.stopped)).toBe(false);
    const ended = once(other, 'error');
    await desk.query('SHUTDOWN');
    expect(await ended).toMatchObject([{ code: '57P01' }]);
    await running.gateway.stopped;
  });

  test('WAIT_FOR_CLIENTS is over when the last one has left', async () => {
    const running = await start(pooled('session'));
    const client = await running.client();
    expect(await running.ask('POST', '/v1/shutdown?after=clients')).toEqual({
      status: 202,
      body: { shuttingDown: true },
    });
    expect(running.lines('operator')).toMatchObject([{ verb: 'SHUTDOWN', after: 'clients', via: 'http' }]);
    await client.query('select 1');
    await client.end();
    await running.gateway.stopped;
  });

  test('over HTTP, what is not meant is said so', async () => {
    const running = await start();
    expect(await running.ask('POST', '/v1/shutdown?after=lunch')).toEqual({
      status: 400,
      body: { error: "after: 'clients' or 'servers', not 'lunch'" },
    });
    expect(await running.ask('POST', '/v1/databases/orders/wait-close?wait=long')).toMatchObject({
      status: 400,
    });
    expect(await running.ask('POST', '/v1/databases/nowhere/disable')).toMatchObject({ status: 404 });
    await (await running.client({ password: home.sign() })).end();
  });
});

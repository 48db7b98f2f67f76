/** Operators of a fleet: an order with FLEET holds in all instances, and says of which it is not known. */
import type { Client } from 'pg';
import { afterEach, expect, test } from 'vitest';
import { startOperated } from '../../support/operated.ts';
import type { Operated, OperatedOptions } from '../../support/operated.ts';
import { linkInstances } from '../../support/linked-instances.ts';
import type { LinkedInstances } from '../../support/linked-instances.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { ofOrders, settled, show, stateOf, until } from './operator-tools.ts';

const stops: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

const IN_TRANSACTIONS: OperatedOptions = { orders: { pool: { mode: 'transaction' } } };

interface Pair {
  readonly linked: LinkedInstances;
  readonly here: Operated;
  readonly there: Operated;
  /** Starts one more. */
  readonly start: (name: string) => Promise<Operated>;
}

/** Two instances, `a` and `b`. */
async function twoInstances(): Promise<Pair> {
  const linked = linkInstances();
  stops.push(() => linked.close());
  const start = async (name: string): Promise<Operated> => {
    const running = await startOperated(sharedPostgres(), IN_TRANSACTIONS, linked.join(name));
    stops.push(() => running.gateway.stop());
    return running;
  };
  return { linked, here: await start('a'), there: await start('b'), start };
}

async function busy(running: Operated): Promise<Client> {
  const client = await running.client();
  await client.query('begin');
  return client;
}

const isPaused = async (running: Operated): Promise<boolean> => (await stateOf(running))['paused'] === true;

function noticesOf(client: Client): string[] {
  const notices: string[] = [];
  client.on('notice', ({ message }) => void (message !== undefined && notices.push(message)));
  return notices;
}

test('PAUSE … FLEET stops all instances, waits for the last connection of each, and RESUME … FLEET of any ends it', async () => {
  const { here, there } = await twoInstances();
  const client = await busy(there);
  const desk = await here.console();
  const paused = desk.query('PAUSE orders FLEET');
  await until(() => isPaused(there));
  expect(await settled(paused)).toBe(false);
  await client.query('commit');
  expect(await paused).toMatchObject({ command: 'PAUSE' });
  const waits = client.query('select 1');
  waits.catch(() => {});
  expect(await settled(waits)).toBe(false);
  await (await there.console()).query('resume orders fleet');
  await waits;
  await until(async () => !(await isPaused(here)));
});

test('an instance that starts later is paused as well, and all of them by ALL', async () => {
  const { here, start } = await twoInstances();
  await (await here.console()).query('PAUSE ALL FLEET');
  const late = await start('c');
  expect(await isPaused(late)).toBe(true);
  await (await late.console()).query('RESUME ALL FLEET');
  await until(async () => !(await isPaused(here)));
});

test('orders to one instance and to the fleet are taken back one by one, and who has the other is told', async () => {
  const { here, there } = await twoInstances();
  const desk = await there.console();
  await (await here.console()).query('PAUSE orders FLEET');
  await desk.query('PAUSE orders');
  await expect(desk.query('RESUME orders')).rejects.toMatchObject({
    code: '55000',
    message: expect.stringContaining('an order to the whole fleet, of olga') as unknown,
    hint: 'RESUME orders FLEET takes it back.',
  });
  await desk.query('PAUSE orders');
  await desk.query('RESUME orders FLEET');
  await until(async () => !(await isPaused(here)));
  expect(await isPaused(there)).toBe(true);
  await desk.query('RESUME orders');
  expect(await isPaused(there)).toBe(false);
});

test('a PAUSE of the fleet ends by itself, and says who has given it, when, and until when', async () => {
  const { here, there } = await twoInstances();
  await (await here.console()).query("PAUSE orders FLEET FOR '1500ms'");
  const { fleet } = await stateOf(there);
  const { paused } = fleet as { paused: { by: { subject: string }; since: string; until: string } };
  expect(paused.by.subject).toBe('olga');
  expect(Date.parse(paused.until)).toBeGreaterThan(Date.parse(paused.since));
  await until(async () => !(await isPaused(there)) && !(await isPaused(here)));
  expect(await stateOf(there)).not.toHaveProperty('fleet');
});

test('a PAUSE that is given again goes on for the new time, and those who wait for it wait on', async () => {
  const { here, there } = await twoInstances();
  const client = await busy(there);
  const desks = [await here.console(), await there.console()] as const;
  const first = desks[0].query('PAUSE orders FLEET FOR 1h');
  await until(() => isPaused(there));
  const second = desks[1].query('PAUSE orders FLEET FOR 2h');
  expect(await settled(Promise.race([first, second]))).toBe(false);
  await client.query('commit');
  await Promise.all([first, second]);
});

test('a RESUME of the fleet calls off a PAUSE that is waiting in another instance; one of an instance alone does not', async () => {
  const { here, there } = await twoInstances();
  const client = await busy(there);
  const paused = (await here.console()).query('PAUSE orders FLEET');
  paused.catch(() => {});
  await until(() => isPaused(there));
  const desk = await there.console();
  await desk.query('RESUME orders').catch(() => {});
  expect(await settled(paused)).toBe(false);
  await desk.query('RESUME orders FLEET');
  await expect(paused).rejects.toMatchObject({ code: '57014' });
  await client.query('commit');
});

test('whoever gives up waiting hears which instances have not paused; one that has left meanwhile is named', async () => {
  const { linked, here, there } = await twoInstances();
  const client = await busy(there);
  const waited = await here.ask('POST', '/v1/databases/orders/pause?scope=fleet&wait=700ms');
  expect(waited).toMatchObject({ status: 202, body: { paused: true, instances: { missing: ['b'] } } });
  await client.query('commit');
  const done = await here.ask('POST', '/v1/databases/orders/pause?scope=fleet');
  expect(done).toMatchObject({ status: 200, body: { instances: { live: 2, missing: [] } } });
  linked.cut('b');
  const desk = await here.console();
  const notices = noticesOf(desk);
  const paused = desk.query('PAUSE orders FLEET');
  expect(await settled(paused)).toBe(false);
  linked.leave('b');
  await paused;
  expect(notices).toEqual([
    'of these instances it is not known that they have paused before they left the fleet: b',
  ]);
});

test('DISABLE … FLEET lets no new session to any instance; one that is cut off is named, and obeys when it is back', async () => {
  const { linked, here, there } = await twoInstances();
  linked.cut('b');
  const disabled = await here.ask('POST', '/v1/databases/orders/disable?scope=fleet');
  expect(disabled).toMatchObject({ status: 202, body: { disabled: true, instances: { missing: ['b'] } } });
  await expect(here.client()).rejects.toMatchObject({ code: '55000' });
  await (await there.client()).end();
  linked.mend('b');
  await expect(there.client()).rejects.toMatchObject({ code: '55000' });
  expect((await there.ask('POST', '/v1/databases/orders/enable')).status).toBe(409);
  expect((await there.ask('POST', '/v1/databases/orders/enable?scope=fleet')).status).toBe(200);
  await (await here.client()).end();
});

test('while the store does not answer an order to the fleet changes nothing, one to the instance holds', async () => {
  const { linked, here } = await twoInstances();
  linked.away();
  const desk = await here.console();
  await expect(desk.query('PAUSE orders FLEET')).rejects.toMatchObject({ code: '08006' });
  expect((await here.ask('POST', '/v1/databases/orders/disable?scope=fleet')).status).toBe(503);
  expect(await stateOf(here)).toMatchObject({ paused: false, disabled: false });
  await desk.query('PAUSE orders');
  expect(await isPaused(here)).toBe(true);
});

test('an order to the fleet is logged once, with its scope, by the instance that was asked', async () => {
  const { here, there } = await twoInstances();
  const desk = await here.console();
  for (const order of ['PAUSE orders FLEET', 'RESUME orders FLEET', 'DISABLE orders FLEET'])
    await desk.query(order);
  const lines = here.lines('operator');
  expect(lines.map(({ verb, scope }) => `${String(verb)} ${String(scope)}`)).toEqual([
    'PAUSE fleet',
    'RESUME fleet',
    'DISABLE fleet',
  ]);
  expect(there.lines('operator')).toEqual([]);
});

test.each([
  ['PAUSE FLEET', '3D000'],
  ['PAUSE orders FOR 1h', '42601'],
  ['PAUSE orders FLEET FOR', '42601'],
  ['PAUSE orders FLEET FOR never', '42601'],
  ['DISABLE ALL FLEET', '42601'],
  ['DISABLE orders FLEET FOR 1h', '42601'],
  ['PAUSE nowhere FLEET', '3D000'],
  ['PAUSE orders FLEET "FLEET"', '42601'],
])('%s is %s', async (order, code) => {
  const { here } = await twoInstances();
  await expect((await here.console()).query(order)).rejects.toMatchObject({ code });
  expect(await isPaused(here)).toBe(false);
});

test('without a fleet in the config an order to it says so', async () => {
  const running = await startOperated(sharedPostgres(), IN_TRANSACTIONS);
  stops.push(() => running.gateway.stop());
  const desk = await running.console();
  await expect(desk.query('PAUSE orders FLEET')).rejects.toMatchObject({ code: '0A000' });
  expect((await running.ask('POST', '/v1/databases/orders/pause?scope=fleet')).status).toBe(501);
  expect((await running.ask('POST', '/v1/databases/orders/pause?scope=moon')).status).toBe(400);
  expect(ofOrders(await show(desk, 'DATABASES'))['paused']).toBe(0);
});

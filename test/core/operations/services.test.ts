/** The services of the gateway: what a plugin can order, and what it sees, without HTTP and without the console. */
import { expect, test } from 'vitest';
import type { GatewayHandle, GatewayServices } from '../../../core/index.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { operatedConfig } from '../../support/operated.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { home } from '../../support/operated.ts';
import type { Operated, OperatedOptions } from '../../support/operated.ts';
import { operatedGateways, until } from './operator-tools.ts';

const start = operatedGateways();
const BY = { identity: { issuer: home.issuer, subject: 'olga' }, via: 'pager' };

/** A gateway with a plugin that takes the services, and tells what operators do. */
async function served(options: OperatedOptions = {}): Promise<{
  running: Operated;
  gateway: GatewayHandle;
  operations: GatewayServices['operations'];
  overview: GatewayServices['overview'];
  orders: object[];
}> {
  let taken: GatewayHandle | undefined;
  const orders: object[] = [];
  const taker: AnyPlugin = {
    name: 'taker',
    on: { operator: (event) => void orders.push(event) },
    setup: (handle) => void (taken = handle),
  };
  const { plugins } = operatedConfig(sharedPostgres());
  const running = await start({ plugins: [...plugins, taker], ...options });
  if (!taken) throw new Error('no setup has run');
  const [operations, overview] = [taken.service('operations'), taken.service('overview')];
  return { running, gateway: taken, operations, overview, orders };
}

test('an order is logged and told with its operator and the way that the plugin names', async () => {
  const { running, operations, orders } = await served();
  await operations.disable(BY, 'orders');
  await expect(running.client()).rejects.toMatchObject({ code: '55000' });
  await operations.enable(BY, 'orders');
  await (await running.client()).end();
  expect(orders).toEqual([
    { by: BY.identity, via: 'pager', verb: 'DISABLE', target: { database: 'orders' } },
    { by: BY.identity, via: 'pager', verb: 'ENABLE', target: { database: 'orders' } },
  ]);
  expect(running.lines('operator')).toMatchObject([
    { verb: 'DISABLE', database: 'orders', subject: 'olga', issuer: home.issuer, via: 'pager' },
    { verb: 'ENABLE' },
  ]);
});

test('a suspension ends with the operator who ordered it, also one who had left before', async () => {
  const { operations, overview } = await served();
  const operator = new AbortController();
  await operations.suspend(BY, new AbortController().signal, operator.signal);
  expect(overview.suspended).toBe(true);
  operator.abort();
  expect(overview.suspended).toBe(false);
  await operations.suspend(BY, new AbortController().signal, operator.signal);
  expect(overview.suspended).toBe(false);
});

test('an order to a database that does not exist is refused, and neither logged nor told', async () => {
  const { running, operations, orders } = await served();
  const missing = { code: 'invalid_catalog_name', message: 'no such database: nothing' };
  await expect(operations.known('nothing')).rejects.toMatchObject(missing);
  await expect(operations.known('*')).rejects.toMatchObject({ code: 'invalid_catalog_name' });
  await expect(operations.kill(BY, 'nothing')).rejects.toMatchObject(missing);
  await expect(operations.endSession(BY, 'nobody')).rejects.toThrow('no such client');
  expect(orders).toEqual([]);
  expect(running.lines('operator')).toEqual([]);
  await operations.known('orders');
});

test('a session and its server connection name each other, and say what they are', async () => {
  const { running, overview, operations } = await served({
    orders: { pool: { mode: 'transaction', clientMode: 'choose', perRole: 5 } },
  });
  expect(await overview.read('sessions', 'servers', 'pools')).toEqual({
    sessions: [],
    servers: [],
    pools: [],
  });
  const client = await running.client({ application_name: 'till' });
  await client.query("begin; select set_config('timezone', 'Asia/Tokyo', true)");
  const {
    sessions: [session],
    servers: [server],
    pools,
  } = await overview.read('sessions', 'servers', 'pools');
  expect(session).toMatchObject({
    entry: 'orders',
    role: 'reader',
    mode: 'transaction',
    state: 'idle in transaction',
    waitingSince: undefined,
    identity: { issuer: home.issuer },
    applicationName: 'till',
    parameters: { TimeZone: 'Asia/Tokyo', client_encoding: 'UTF8' },
    replication: 'none',
    cancels: 0,
    server: server?.serial,
    serverPid: server?.pid,
    client: { address: '127.0.0.1', listener: 'default' },
    socket: { remoteAddress: '127.0.0.1', localPort: running.port, received: 0, queued: 0 },
  });
  expect(session?.socket.tls).toBeUndefined();
  expect(server).toMatchObject({
    entry: 'orders',
    role: 'reader',
    state: 'lent',
    closeNeeded: false,
    session: session?.id,
    preparedStatements: 0,
  });
  expect(pools).toMatchObject([
    { entry: 'orders', role: 'reader', sessions: 1, cancels: 0, servers: { lent: 1, idle: 0 } },
  ]);
  await operations.endSession(BY, session?.id ?? '');
  await until(async () => (await overview.read('sessions')).sessions.length === 0);
});

test('an entry says what the config has of it, and how many use it', async () => {
  const { running, overview, operations } = await served({
    orders: { pool: { mode: 'transaction', clientMode: 'choose', size: 8, perRole: 5, maxLifetime: '2m' } },
  });
  const client = await running.client({ options: '-c postern.pool=session' });
  const orders = await overview.entry('orders');
  expect(orders).toMatchObject({
    name: 'orders',
    paused: false,
    disabled: false,
    connections: 1,
    sessions: 1,
    inSessionMode: 1,
    waiting: 0,
    settings: {
      mode: 'transaction',
      clientMode: 'choose',
      size: 8,
      perRole: 5,
      mostSessions: 4,
      min: 0,
      reserve: 0,
      maxLifetimeMs: 120_000,
      loginRole: undefined,
    },
  });
  expect(await overview.read('entries')).toEqual({ entries: [orders] });
  expect(await overview.entry('nothing')).toMatchObject({ settings: undefined, sessions: 0 });
  await operations.disable(BY, 'orders');
  expect((await overview.entry('orders')).disabled).toBe(true);
  await client.end();
});

test('what is read once does not change with the gateway', async () => {
  const { running, overview } = await served();
  const client = await running.client();
  const read = await overview.read('sessions');
  const before = structuredClone(read);
  await client.query("set application_name = 'changed'; begin");
  expect(read).toEqual(before);
  expect(await overview.read('sessions')).not.toEqual(before);
  await client.end();
});

test('everything that is read is plain: it can be cloned and says the same', async () => {
  const { running, overview, gateway } = await served();
  const client = await running.client();
  await client.query('select 1');
  const all = {
    ...(await overview.read('sessions', 'arriving', 'servers', 'pools', 'entries', 'totals', 'lastPeriod')),
    settings: await overview.settings(),
    addresses: overview.addresses(),
    plugins: overview.plugins(),
  };
  expect(structuredClone(all)).toEqual(all);
  expect(gateway.readings()).toMatchObject({
    roles: all.pools,
    totals: all.totals,
    version: overview.version,
  });
  expect(all.totals).toMatchObject([{ entry: 'orders', queries: 1 }]);
  expect(all.settings.find(({ key }) => key === 'databases.orders.pool.size')).toEqual({
    key: 'databases.orders.pool.size',
    value: '20',
    default: '20',
    reload: true,
  });
  expect(all.plugins.map(({ name }) => name)).toEqual(['operations', 'jwt', 'roles', 'console', 'taker']);
  expect(all.addresses).toEqual([{ host: '127.0.0.1', port: running.port }]);
  expect(all.lastPeriod).toBeUndefined();
  await client.end();
});

test('no setting that operators see is a secret', async () => {
  const { overview } = await served({
    orders: { login: { kind: 'password', passwords: { reader: 'hunter2', writer: 'hunter3' } } },
  });
  expect(JSON.stringify([await overview.settings(), await overview.read('entries')])).not.toContain('hunter');
});

test('a plugin cannot lend a service under a name of the gateway', async () => {
  for (const name of ['operations', 'overview', 'operators'] as const) {
    const impostor: AnyPlugin = {
      name: 'impostor',
      // @ts-expect-error a name of the gateway
      setup: (gateway) => gateway.provide(name, {}),
    };
    await expect(served({ plugins: [impostor] })).rejects.toThrow(
      `the service '${name}' is the gateway's own`,
    );
  }
});

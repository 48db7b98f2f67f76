/** What plugins may observe of one session: told when asked for, in that session alone, and nothing is done for the others. */
import { Client } from 'pg';
import { afterEach, expect, test } from 'vitest';
import { GatewayError } from '../../core/index.ts';
import type { AnyPlugin, Events, GatewayHandle, SessionObservers } from '../../core/index.ts';
import { GOOD_TOKEN, databaseOf, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';

const running: RunningGateway[] = [];
afterEach(async () => {
  for (const { gateway } of running.splice(0)) await gateway.stop();
});

async function start(plugins: readonly AnyPlugin[], pool: object = {}): Promise<RunningGateway> {
  const databases = { orders: databaseOf(sharedPostgres(), { pool }) };
  const front = await startGateway({ plugins: [...plugins, mapTo('reader')], databases });
  running.push(front);
  return front;
}

async function login({ port }: RunningGateway, more: object = {}): Promise<Client> {
  const where = { host: '127.0.0.1', port, user: '_', database: 'orders', password: GOOD_TOKEN };
  const client = new Client({ ...where, ...more });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** A plugin that observes sessions by their application name, and what they told it. */
function observer(only: string, make: (heard: Heard) => SessionObservers): Observing {
  const heard: Heard = { statements: [], hooks: [], queues: [], closes: [], connects: [] };
  const plugin: AnyPlugin = {
    name: `observer ${only}`,
    observe: (session) => (session.startup.parameters['application_name'] === only ? make(heard) : undefined),
  };
  return { plugin, heard };
}

interface Observing {
  readonly plugin: AnyPlugin;
  readonly heard: Heard;
}

interface Heard {
  readonly statements: Events['statement'][];
  readonly hooks: Events['hook'][];
  readonly queues: Events['queue'][];
  readonly closes: Events['close'][];
  readonly connects: Events['connect'][];
}

test('a session is observed by what was given for it, and the others are not', async () => {
  const one = observer('watched', (heard) => ({
    statement: (event) => void heard.statements.push({ ...event }),
    connect: (event) => void heard.connects.push(event),
    close: (event) => void heard.closes.push(event),
  }));
  const front = await start([one.plugin]);
  const watched = await login(front, { application_name: 'watched' });
  const other = await login(front, { application_name: 'other' });
  await other.query('select 1');
  await watched.query('select 2');
  await watched.query('select $1::int', [3]);
  await Promise.all([watched.end(), other.end()]);
  await expect.poll(() => one.heard.closes.length).toBe(1);
  const { host, port } = sharedPostgres();
  expect(one.heard.statements.map(({ sql }) => sql)).toEqual(['select 2', 'select $1::int']);
  expect(one.heard.statements[0]).toMatchObject({ host, port });
  expect(one.heard.connects).toMatchObject([{ host, port }]);
  expect(one.heard.closes[0]?.used).toMatchObject({ queries: 2, transactions: 2 });
  expect(one.heard.closes[0]?.used?.received).toBeGreaterThan(20);
});

test('the event of a statement is good for its call only: kept, it becomes the next one; a copy stays as it was', async () => {
  const kept: Events['statement'][] = [];
  const copies: Events['statement'][] = [];
  const keeping: AnyPlugin = {
    name: 'keeping',
    on: {
      statement(event) {
        kept.push(event);
        copies.push({ ...event });
      },
    },
  };
  const front = await start([keeping]);
  const client = await login(front);
  const other = await login(front);
  await client.query('select 1; select 2');
  await client.query('select generate_series(1, 3)');
  await client.query('select nonsense').catch(() => undefined);
  await client.query('select 4');
  const [first, second, failed, last] = kept;
  expect(second).toBe(first);
  expect(last).toBe(first);
  expect(first).toEqual(copies[3]);
  expect(copies.map(({ sql, rows, tags }) => [sql, rows, ...tags])).toEqual([
    ['select 1; select 2', 2, 'SELECT 1', 'SELECT 1'],
    ['select generate_series(1, 3)', 3, 'SELECT 3'],
    ['select nonsense', 0],
    ['select 4', 1, 'SELECT 1'],
  ]);
  // Members that are not there are none: nothing has an error that had none, and the record never has one.
  expect(failed).toMatchObject({ sqlstate: '42703' });
  expect(copies.map((event) => 'sqlstate' in event)).toEqual([false, false, true, false]);
  expect(first).not.toHaveProperty('function');
  // Each session has a record of its own.
  await other.query('select 5');
  expect(kept[4]).not.toBe(first);
  expect(first).toMatchObject({ sql: 'select 4' });
  await Promise.all([client.end(), other.end()]);
});

test('an observer that wants to be woken by a text is told from there on', async () => {
  const one = observer('watched', (heard) => ({
    statementsFrom: 'wake-up',
    statement: (event) => void heard.statements.push({ ...event }),
  }));
  const front = await start([one.plugin]);
  const client = await login(front, { application_name: 'watched' });
  await client.query('select 1');
  await client.query({ name: 'before', text: 'select 2' });
  await client.query('select 3 /* wake-up */');
  await client.query({ name: 'before', text: 'select 2' });
  await client.query('select $1::int', [4]);
  await client.end();
  expect(one.heard.statements.map(({ kind, sql }) => `${kind} ${sql}`)).toEqual([
    'query select 3 /* wake-up */',
    'execute ',
    'execute select $1::int',
  ]);
});

test.each<readonly [by: string, parameters: number[], kind: string]>([
  ['Query', [], 'query'],
  ['Parse', [7], 'execute'],
])('a %s wakes in transaction mode too', async (_, parameters, kind) => {
  const one = observer('watched', (heard) => ({
    statementsFrom: 'wake-up',
    statement: (event) => void heard.statements.push({ ...event }),
  }));
  const front = await start([one.plugin], { mode: 'transaction' });
  const client = await login(front, { application_name: 'watched' });
  const text = parameters.length > 0 ? 'select $1::int' : 'select 7';
  await client.query(text, parameters);
  await client.query(`${text} /* wake-up */`, parameters);
  await client.query(text, parameters);
  await client.end();
  const told = one.heard.statements.map((statement) => `${statement.kind} ${statement.sql}`);
  expect(told).toEqual([`${kind} ${text} /* wake-up */`, `${kind} ${text}`]);
});

test('hooks are told with their time and their refusal, where somebody listens', async () => {
  const guard: AnyPlugin = {
    name: 'guard',
    onStartup: () => Promise.resolve(),
    onQuery(_, statement) {
      if ('sql' in statement && statement.sql.includes('bad'))
        throw new GatewayError('insufficient_privilege', 'no');
    },
    onClose: () => {},
  };
  const one = observer('watched', (heard) => ({
    hook: (event) => void heard.hooks.push(event),
    close: (event) => void heard.closes.push(event),
  }));
  const front = await start([one.plugin, guard]);
  const [watched, other] = [
    await login(front, { application_name: 'watched' }),
    await login(front, { application_name: 'other' }),
  ];
  await other.query('select 1');
  await watched.query('select 1');
  await expect(watched.query("select 'bad'")).rejects.toMatchObject({ code: '42501' });
  await Promise.all([watched.end(), other.end()]);
  await expect.poll(() => one.heard.closes.length).toBe(1);
  expect(one.heard.hooks.map(({ plugin, hook, sqlstate }) => `${plugin} ${hook} ${sqlstate}`)).toEqual([
    'guard onStartup undefined',
    'map-to onAuth undefined',
    'guard onQuery undefined',
    'guard onQuery 42501',
    'guard onClose undefined',
  ]);
  expect(one.heard.hooks.every(({ durationMs }) => durationMs >= 0)).toBe(true);
});

test('a wait for a server connection is told, and one that is free at once is not', async () => {
  const one = observer('watched', (heard) => ({
    queue: (event) => void heard.queues.push(event),
    statement: (event) => void heard.statements.push({ ...event }),
  }));
  const front = await start([one.plugin], { mode: 'transaction', size: 1, queueTimeout: '4s' });
  const client = await login(front, { application_name: 'watched' });
  // Opening the first one is a wait.
  expect(one.heard.queues).toHaveLength(1);
  await client.query('select 1');
  expect(one.heard.queues).toHaveLength(1);
  const other = await login(front);
  await other.query('begin');
  await expect(client.query('select 2')).rejects.toMatchObject({ code: '53300' });
  expect(one.heard.queues).toMatchObject([{}, { sqlstate: '53300' }]);
  await expect(client.query('select $1::int', [2])).rejects.toMatchObject({ code: '53300' });
  expect(one.heard.statements).toMatchObject([
    { sql: 'select 1' },
    { kind: 'query', sql: 'select 2', sqlstate: '53300', bytesIn: 0 },
    { kind: 'parse', sql: 'select $1::int', sqlstate: '53300' },
  ]);
  await other.end();
  await client.query('select 3');
  await client.end();
});

test('parameters of the gateway come through where a plugin declares them, and are refused elsewhere', async () => {
  const seen: unknown[] = [];
  const taking: AnyPlugin = {
    name: 'taking',
    startupParameters: ['postern.traceparent'],
    onStartup: ({ startup }) => void seen.push({ ...startup.options }),
  };
  const front = await start([taking]);
  const client = await login(front, { options: '-c postern.Traceparent=00-x' });
  await client.end();
  expect(seen).toEqual([{ 'postern.traceparent': '00-x' }]);
  const unknown = login(front, { options: '-c postern.other=1' });
  await expect(unknown).rejects.toMatchObject({
    code: '08P01',
    message: expect.stringContaining('postern.other') as string,
  });
});

test('an observer that cannot be had is complained of once, and the session goes on', async () => {
  const front = await start([
    {
      name: 'broken',
      observe() {
        throw new Error('cannot observe');
      },
    },
  ]);
  for (let i = 0; i < 3; i += 1) await (await login(front)).end();
  expect(front.lines('an observer failed')).toMatchObject([{ plugin: 'broken', event: 'observe' }]);
});

test('readings say what there is and what has been used', async () => {
  let handle: GatewayHandle | undefined;
  const front = await start([{ name: 'reader', setup: (gateway) => void (handle = gateway) }]);
  const client = await login(front);
  await client.query('select 1');
  const readings = handle?.readings();
  expect(readings).toMatchObject({
    draining: false,
    loggingIn: 0,
    limits: { orders: 20 },
    reload: { failed: false },
    roles: [
      { entry: 'orders', role: 'reader', clients: { idle: 1, active: 0, waiting: 0 }, servers: { lent: 1 } },
    ],
    totals: [{ entry: 'orders', queries: 1, transactions: 1, assignments: 1 }],
  });
  await client.end();
});

/** Settings through a gateway process's own parts: RESET, pins and policies, and what drivers do with settings, in both modes. */
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { parseRole } from '../../core/contract/names.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { GOOD_TOKEN, databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';

const clients = new Set<Client>();
const MODES = ['session', 'transaction'] as const;
const postgres = sharedPostgres();
let database: string;
let running: RunningGateway;

/** Pins one setting, and has another one as a policy. */
const plugin: AnyPlugin = {
  name: 'pins',
  provides: ['identity'],
  async onAuth(session, upstream) {
    await session.token();
    session.establish('identity', {
      subject: session.startup.user,
      issuer: 'test',
      claims: {},
      expiresAt: new Date(Date.now() + 3_600_000),
    });
    return {
      ...upstream,
      role: parseRole('writer'),
      settings: { ...upstream.settings, maintenance_work_mem: '5MB', IntervalStyle: 'iso_8601' },
      onCheckout: session.startup.database.startsWith('policy') ? [() => ({ 'app.user': 'ada' })] : [],
    };
  },
};

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql('grant reader to writer; create table t (n int); grant all on t to writer', database);
  const entry = (mode: 'session' | 'transaction', more: object = {}) =>
    databaseOf(postgres, { database, pool: { mode, size: 1, queueTimeout: '20s', ...more } });
  running = await startGateway({
    databases: {
      session: { ...entry('session'), pool: { mode: 'session', size: 3 } },
      transaction: entry('transaction'),
      'policy-session': { ...entry('session'), pool: { mode: 'session', size: 3 } },
      'policy-transaction': entry('transaction'),
    },
    plugins: [plugin],
  });
});
afterEach(async () => {
  for (const client of clients) await client.end();
  clients.clear();
});
afterAll(() => running.gateway.stop());

/** A client, and the parameters of which it was told. */
interface Told extends Client {
  readonly told: Map<string, string>;
}

async function connect(name: string, options = '', user = 'ada'): Promise<Told> {
  const client = new Client({
    host: '127.0.0.1',
    port: running.port,
    user,
    password: GOOD_TOKEN,
    database: name,
    options,
  });
  const told = new Map<string, string>();
  client.on('error', () => {});
  const { connection } = client as unknown as {
    connection: {
      on(event: string, call: (message: { parameterName: string; parameterValue: string }) => void): void;
    };
  };
  connection.on('parameterStatus', ({ parameterName, parameterValue }) =>
    told.set(parameterName, parameterValue),
  );
  await client.connect();
  clients.add(client);
  return Object.assign(client, { told });
}

async function shown(client: Client, ...names: readonly string[]): Promise<readonly unknown[]> {
  const list = names.map((name, index) => `coalesce(current_setting('${name}', true), '') as "${index}"`);
  return Object.values(
    (await client.query<Record<string, unknown>>(`select ${list.join(', ')}`)).rows[0] ?? {},
  );
}

describe.each(MODES)('in %s mode', (mode) => {
  const STARTUP = '-c timezone=Asia/Tokyo -c work_mem=3MB -c my.app=mine -c lock_timeout=4s';
  const NAMES = ['timezone', 'work_mem', 'my.app', 'lock_timeout'];
  const AT_LOGIN = ['Asia/Tokyo', '3MB', 'mine', '4s'];

  test.each<readonly [string, readonly string[]]>([
    ['reset timezone', ['Asia/Tokyo', '7MB', 'other', '8s']],
    ['set time zone default', ['Asia/Tokyo', '7MB', 'other', '8s']],
    ['set time zone local', ['Asia/Tokyo', '7MB', 'other', '8s']],
    ['set lock_timeout to default', ['Europe/Berlin', '7MB', 'other', '4s']],
    ['reset work_mem', ['Europe/Berlin', '3MB', 'other', '8s']],
    ['reset my.app', ['Europe/Berlin', '7MB', 'mine', '8s']],
    ['begin; reset timezone; rollback', ['Europe/Berlin', '7MB', 'other', '8s']],
    ['reset all', AT_LOGIN],
    ['discard all', AT_LOGIN],
  ])('%s returns to the value of the startup', async (reset, expected) => {
    const client = await connect(mode, STARTUP);
    expect(await shown(client, ...NAMES)).toEqual(AT_LOGIN);
    await client.query(
      "set timezone = 'Europe/Berlin'; set work_mem = '7MB'; set my.app = 'other'; set lock_timeout = 8000",
    );
    expect(await shown(client, ...NAMES)).toEqual(['Europe/Berlin', '7MB', 'other', '8s']);
    await client.query(reset);
    expect(await shown(client, ...NAMES)).toEqual(expected);
    expect(client.told.get('TimeZone')).toBe(expected[0]);
    await client.end();
    const next = await connect(mode);
    for (const value of await shown(next, ...NAMES)) expect([...expected, ...AT_LOGIN]).not.toContain(value);
    await next.end();
  });

  test('a driver that resets its connection at each checkout finds what it asked for at login', async () => {
    const client = await connect(mode, STARTUP);
    for (let round = 0; round < 3; round += 1) {
      await client.query("set timezone = 'Etc/UTC'; set my.app = ''");
      await client.query('select pg_advisory_unlock_all(); close all; unlisten *; reset all;');
      expect(await shown(client, ...NAMES)).toEqual(AT_LOGIN);
    }
    await client.end();
  });

  test('what a plugin pins returns to that by RESET, and what a policy sets is set again', async () => {
    const client = await connect(`policy-${mode}`, STARTUP);
    const names = ['maintenance_work_mem', 'intervalstyle', 'app.user', 'timezone'];
    const pinned = ['5MB', 'iso_8601', 'ada', 'Asia/Tokyo'];
    expect(await shown(client, ...names)).toEqual(pinned);
    for (const reset of ['reset all', 'discard all']) {
      await client.query(
        `set maintenance_work_mem = '9MB'; set intervalstyle = 'postgres'; set app."user" = 'bob'`,
      );
      await client.query(reset);
      expect(await shown(client, ...names)).toEqual(pinned);
    }
    await client.end();
  });
});

test('in transaction mode what a plugin pins, or a policy sets, follows no SET', async () => {
  for (const name of ['transaction', 'policy-transaction']) {
    const [client, other] = [await connect(name), await connect(name)];
    const names = ['maintenance_work_mem', 'intervalstyle', ...(name === 'transaction' ? [] : ['app.user'])];
    const pinned = ['5MB', 'iso_8601', 'ada'].slice(0, names.length);
    for (let round = 0; round < 3; round += 1) {
      await client.query(
        "set maintenance_work_mem = '9MB'; set intervalstyle = 'postgres'; set work_mem = '9MB'",
      );
      if (name !== 'transaction') await client.query("select set_config('app.user', 'bob', false)");
      for (const one of round === 1 ? [client] : [other, client])
        expect(await shown(one, ...names)).toEqual(pinned);
      expect(await shown(client, 'work_mem')).toEqual(['9MB']);
    }
    await Promise.all([client.end(), other.end()]);
  }
});

test('in transaction mode a role that a session has set is no role of policies, nor of another session', async () => {
  const name = 'policy-transaction';
  const [client, same, other] = [await connect(name), await connect(name), await connect(name, '', 'bob')];
  const who = async (one: Client): Promise<unknown> =>
    (await one.query<{ who: string }>(`select current_user || ' ' || current_setting('app.user') as who`))
      .rows[0]?.who;
  await client.query('set role reader');
  for (let round = 0; round < 3; round += 1) {
    expect(await who(client)).toBe('reader ada');
    expect(await who(same)).toBe('writer ada');
    expect(await who(other)).toBe('writer ada');
  }
  await client.query('reset role');
  expect(await who(client)).toBe('writer ada');
  await Promise.all([client.end(), same.end(), other.end()]);
});

test('in transaction mode settings that drivers rely on hold in later transactions', async () => {
  const [client, other] = [await connect('transaction'), await connect('transaction')];
  const isolation = async (): Promise<unknown> => (await shown(client, 'transaction_isolation'))[0];
  // pgjdbc: setTransactionIsolation, and setReadOnly with readOnlyMode=always.
  await client.query('SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE');
  await client.query('SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY');
  await other.query('select 1');
  expect(await isolation()).toBe('serializable');
  await expect(client.query('insert into t values (1)')).rejects.toMatchObject({ code: '25006' });
  await client.query('SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE');
  await other.query('insert into t values (1)');
  await client.query('insert into t values (1)');
  // node-postgres and Rails, by both protocols.
  await client.query('SET statement_timeout TO 50');
  await other.query('select pg_sleep(0.1)');
  await expect(client.query('select pg_sleep($1)', [10])).rejects.toMatchObject({ code: '57014' });
  await client.query({ text: 'RESET statement_timeout', name: 'reset' });
  await client.query('select pg_sleep(0.1)');
  await Promise.all([client.end(), other.end()]);
});

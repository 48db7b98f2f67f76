/** The console: what operators see there is so, and how it speaks. */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { databaseOf } from '../support/gateway.ts';
import { NOTHING_USED } from '../../core/index.ts';
import { home } from '../support/operated.ts';
import type { Operated, OperatedOptions } from '../support/operated.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RawClient, fieldsOf, message, startup } from '../support/raw-client.ts';
import { ofOrders, operatedGateways, show, until } from '../core/operations/operator-tools.ts';

const postgres = sharedPostgres();
const start = operatedGateways();

describe.each(['session', 'transaction'] as const)('what it shows in %s mode', (mode) => {
  const of = (size: number): OperatedOptions => ({ orders: { pool: { mode, size, idleTimeout: '10m' } } });

  test('clients and servers are linked while one works for the other', async () => {
    const running = await start(of(1));
    const desk = await running.console();
    const client = await running.client({ application_name: 'shop' });
    await client.query('begin');
    const [server] = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows;
    const rows = await show(desk, 'CLIENTS');
    const own = ofOrders(rows);
    const [backend] = await show(desk, 'SERVERS');
    expect(own).toMatchObject({
      type: 'C',
      user: 'reader',
      state: 'active',
      addr: '127.0.0.1',
      local_port: running.port,
      application_name: 'shop',
      subject: 'alice',
      tls: '',
    });
    expect(own['connect_time']).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/);
    expect(backend).toMatchObject({
      type: 'S',
      user: 'reader',
      database: 'orders',
      state: 'active',
      port: postgres.port,
      remote_pid: server?.pid,
      link: own['ptr'],
    });
    expect(own['link']).toBe(backend?.['ptr']);
    await client.query('commit');
    if (mode === 'session') return;
    expect(await show(desk, 'SERVERS')).toMatchObject([{ state: 'idle', link: '' }]);
    expect(ofOrders(await show(desk, 'CLIENTS'))).toMatchObject({ state: 'active', link: '' });
  });

  test('who waits is counted as waiting, with how long', async () => {
    const running = await start(of(1));
    const desk = await running.console();
    const first = await running.client();
    const second = mode === 'transaction' ? await running.client() : undefined;
    await first.query('begin');
    const held = second ? second.query('select 1') : running.client();
    await until(async () => ofOrders(await show(desk, 'POOLS'))['cl_waiting'] === 1);
    await until(async () => Number(ofOrders(await show(desk, 'POOLS'))['maxwait_us']) > 0);
    expect(ofOrders(await show(desk, 'POOLS'))).toMatchObject({
      user: 'reader',
      cl_active: 1,
      sv_active: 1,
      sv_idle: 0,
      pool_mode: mode,
    });
    expect((await show(desk, 'CLIENTS')).map(({ state }) => state)).toContain('waiting');
    await first.query('rollback');
    await first.end();
    await held;
    expect(ofOrders(await show(desk, 'POOLS'))).toMatchObject({ cl_waiting: 0, maxwait: 0 });
    expect(Number(ofOrders(await show(desk, 'STATS_TOTALS'))['wait_time'])).toBeGreaterThan(0);
    const last = second ?? (await (held as Promise<Client>));
    await last.end();
  });

  test('what sessions have used, those that are over included', async () => {
    const running = await start(of(2));
    const desk = await running.console();
    const counts = async (): Promise<Readonly<Record<string, number>>> =>
      Object.fromEntries(
        Object.entries(ofOrders(await show(desk, 'STATS_TOTALS'))).map(([key, value]) => [
          key,
          Number(value),
        ]),
      );
    const client = await running.client();
    await client.query('select 1');
    await client.query('begin');
    await client.query('select pg_sleep(0.2)');
    await sleep(200);
    await client.query('commit');
    const text = 'select $1::text';
    for (let time = 0; time < 3; time += 1) await client.query({ name: 'named', text, values: ['x'] });
    await client.query("select repeat('x', 100000)");
    await expect(client.query('select 1/0')).rejects.toThrow('division');
    // A client knows of an error before its ReadyForQuery has come.
    await until(async () => (await counts())['query_count'] === 9);
    const live = await counts();
    expect(live).toMatchObject({ query_count: 9, xact_count: 7, client_parse_count: 1, bind_count: 3 });
    expect(live['server_parse_count']).toBeGreaterThan(0);
    expect(live['bytes_sent']).toBeGreaterThan(100_000);
    expect(live['bytes_received']).toBeGreaterThan(200);
    expect(live['bytes_received']).toBeLessThan(10_000);
    expect(live['query_time']).toBeGreaterThan(190_000);
    expect(live['xact_time']).toBeGreaterThan((live['query_time'] ?? 0) + 190_000);
    await client.end();
    await until(async () => ofOrders(await show(desk, 'POOLS'))['cl_active'] !== 1);
    const over = await counts();
    for (const [name, value] of Object.entries(live)) {
      if (name !== 'database')
        expect([name, over[name]]).toEqual([name, expect.toSatisfy((is) => is >= value)]);
    }
    const both = ofOrders(await show(desk, 'STATS'));
    expect(both).toMatchObject({ total_query_count: String(over['query_count']), avg_query_count: '0' });
  });
});

test('averages are of the last period', async () => {
  const { Statistics, add } = await import('../../core/gateway/statistics.ts');
  const statistics = new Statistics();
  const sum = { ...NOTHING_USED };
  add(sum, { ...NOTHING_USED, queries: 3 });
  add(sum, { ...NOTHING_USED, queries: 4, sent: 5 });
  expect(sum).toMatchObject({ queries: 7, sent: 5, received: 0 });
  expect(statistics.period).toBeUndefined();
  statistics.endPeriod();
  expect(statistics.period).toMatchObject({ before: new Map(), after: new Map() });
});

test('the entries, with what is paused and what is open', async () => {
  const running = await start({
    databases: {
      orders: databaseOf(postgres, { pool: { mode: 'transaction', size: 7, min: 1, reserve: 2 } }),
      '*': databaseOf(postgres),
    },
  });
  const desk = await running.console();
  const [first, other] = [await running.client(), await running.client({ database: 'postgres' })];
  await desk.query('PAUSE orders');
  const rows = await show(desk, 'DATABASES');
  expect(rows.map(({ name }) => name)).toEqual(['orders', 'postgres']);
  expect(rows).toMatchObject([
    {
      host: '127.0.0.1',
      port: postgres.port,
      database: 'postgres',
      force_user: null,
      pool_size: 7,
      min_pool_size: 1,
      reserve_pool: 2,
      pool_mode: 'transaction',
      max_connections: 9,
      current_connections: 0,
      paused: 1,
      disabled: 0,
    },
    { pool_mode: 'session', current_connections: 1, paused: 0 },
  ]);
  const lists = new Map((await show(desk, 'LISTS')).map(({ list, items }) => [list, items]));
  expect(lists.get('databases')).toBe(2);
  expect(lists.get('used_clients')).toBe(3);
  expect(lists.get('used_servers')).toBe(1);
  await first.end();
  await other.end();
});

test('no secret is shown, and none is logged', async () => {
  const canary = 'canary-a-password';
  const login = { kind: 'password', passwords: { ...postgres.passwords, writer: canary } } as const;
  const set = { kind: 'set-role', user: 'writer', password: canary, trustedSql: true } as const;
  const running = await start({
    databases: { orders: databaseOf(postgres, { login }), other: databaseOf(postgres, { login: set }) },
  });
  const [client, desk] = [await running.client(), await running.console()];
  const words = ['POOLS', 'CLIENTS', 'SERVERS', 'STATS', 'DATABASES', 'LISTS', 'CONFIG', 'STATE'];
  const shown = await Promise.all(words.map((what) => show(desk, what)));
  const { body } = await running.ask('GET', '/v1/sessions');
  const all = JSON.stringify([shown, body, (await running.ask('GET', '/v1/databases')).body]);
  expect(all).toContain('alice');
  for (const secret of [canary, postgres.passwords.reader, running.operator, home.sign().slice(0, 30)]) {
    expect(all.includes(secret)).toBe(false);
    expect(running.text().includes(secret)).toBe(false);
  }
  await client.end();
});

test('SQL reaches nothing: what a database would do is an unknown command', async () => {
  const running = await start({ orders: { pool: { mode: 'transaction' } } });
  const desk = await running.console();
  const statements = [
    'select * from pg_stat_activity',
    'select pg_terminate_backend(1)',
    'select 1 from orders',
    'select oid from pg_class',
    'select version(1)',
    'select current_setting(version())',
    'set role writer',
    'set session authorization writer',
    'copy t from stdin',
    'listen x',
    'prepare p as select 1',
    'PAUSE orders; KILL orders now',
    'SHOW VERSION /* x',
    'SHOW "VERSION',
    "set application_name = 'x",
    'set application_name = a b',
    'set application_name = (select 1)',
    'RELOAD now',
    'SUSPEND now',
    'SHUTDOWN NOW',
    'DISABLE',
    'DISABLE a b',
    'SHOW',
    '"SHOW" VERSION',
    'SHOW __proto__',
    'constructor',
    'x'.repeat(10_000),
  ];
  for (const text of statements) {
    for (const query of [{ text }, { text, name: 'n' }]) {
      const error = await desk.query(query).catch((thrown: unknown) => thrown);
      expect([text, error]).toMatchObject([text, { code: '42601', severity: 'ERROR' }]);
      expect((error as Error).message.length).toBeLessThan(300);
    }
  }
  expect(await show(desk, 'SERVERS')).toEqual([]);
  expect((await running.ask('GET', '/v1/databases/orders')).body).toMatchObject({
    paused: false,
    sessions: 0,
  });
});

describe('the protocol', () => {
  async function raw(running: Operated): Promise<RawClient> {
    const client = await RawClient.connect(running.port);
    onTestFinished(() => Promise.resolve(client.destroy()));
    client.send(startup({ user: '_', database: 'pgbouncer' }));
    await client.until('R');
    client.send(message('p', `${running.operator}\0`));
    await client.until('Z');
    return client;
  }
  const types = async (client: RawClient, last: string): Promise<string> =>
    (await all(client, last)).map(({ type }) => type).join('');
  async function all(client: RawClient, last: string) {
    const found = [];
    do found.push(await client.message());
    while (found.at(-1)?.type !== last);
    return found;
  }
  const parse = (sql: string, name = ''): Buffer => message('P', `${name}\0${sql}\0\0\0`);
  const bind = (formats = '\0\0'): Buffer => message('B', `\0\0\0\0\0\0${formats}`);
  const execute = (rows = 0): Buffer => {
    const body = Buffer.alloc(5);
    body.writeInt32BE(rows, 1);
    return message('E', body);
  };
  const [describeStatement, describePortal, sync] = [message('D', 'S\0'), message('D', 'P\0'), message('S')];

  test('pipelines of the extended protocol, row limits and empty texts are answered as PostgreSQL does', async () => {
    const client = await raw(await start());
    client.send(parse('SHOW VERSION'), describeStatement, bind(), describePortal, execute(), sync);
    expect(await types(client, 'Z')).toBe('1tT2TDCZ');
    client.send(parse('SHOW STATE'), bind(), execute(2), execute(2), sync);
    expect(await types(client, 'Z')).toBe('12DDsDCZ');
    client.send(parse(''), describeStatement, bind(), execute(), sync);
    expect(await types(client, 'Z')).toBe('1tn2IZ');
    client.send(parse('RESUME'), describeStatement, bind(), execute(), message('C', 'S\0'), sync);
    expect(await types(client, 'Z')).toBe('1tn2C3Z');
    client.send(message('Q', ';\0'), message('Q', 'show help\0'));
    expect(await types(client, 'Z')).toBe('IZ');
    expect(await types(client, 'Z')).toBe('NCZ');
  });

  test('after an error everything up to the next Sync is skipped', async () => {
    const client = await raw(await start());
    client.send(parse('nonsense'), bind(), execute(), message('Q', 'SHOW STATE\0'), sync);
    expect(await types(client, 'Z')).toBe('EZ');
    client.send(parse('SHOW STATE'), message('B', '\0\0\0\0\0\0\0\x01\0\x02'), execute(), sync);
    const [, error] = await all(client, 'Z');
    expect(fieldsOf(error?.body ?? Buffer.alloc(0))).toMatchObject({ C: '22023', S: 'ERROR' });
    client.send(bind(), message('B', 'x\0nowhere\0\0\0\0\0\0\0'), sync, message('F', '\0\0\0\0\0\0\0\0\0\0'));
    expect(await types(client, 'Z')).toBe('2EZ');
    expect(await types(client, 'Z')).toBe('EZ');
  });

  test.each([
    ['an unknown message', message('?')],
    ['a message that is too long', Buffer.from([0x51, 0x00, 0x10, 0x00, 0x00])],
    ['a copy of a password', message('p', 'x\0')],
  ])('%s ends the session with FATAL', async (_, bytes) => {
    const client = await raw(await start());
    client.send(bytes);
    expect(await client.error()).toMatchObject({ S: 'FATAL', C: '08P01' });
    await client.rest();
  });

  test('what several commands give comes up to the one that fails', async () => {
    const client = await raw(await start());
    client.send(message('Q', 'SHOW VERSION; KILL nowhere; SHOW VERSION\0'));
    expect(await types(client, 'Z')).toBe('TDCEZ');
    client.send(message('Q', 'BEGIN; SHOW VERSION; KILL nowhere\0'));
    const [status] = (await all(client, 'Z')).slice(-1);
    expect(status?.body.toString()).toBe('E');
  });

  test('a portal lasts as long as its transaction', async () => {
    const client = await raw(await start());
    client.send(message('Q', 'BEGIN\0'), parse('SHOW STATE'), bind(), execute(1), sync, execute(5), sync);
    expect(await types(client, 'Z')).toBe('CZ');
    expect(await types(client, 'Z')).toBe('12DsZ');
    expect(await types(client, 'Z')).toBe('DDCZ');
    client.send(message('Q', 'COMMIT\0'), sync, execute(), sync);
    for (const said of ['CZ', 'Z', 'EZ']) expect(await types(client, 'Z')).toBe(said);
  });

  test('DEALLOCATE forgets one statement, or all', async () => {
    const client = await raw(await start());
    client.send(parse('RESUME', 'a'), parse('RESUME', 'b'), sync, message('Q', 'deallocate prepare a\0'));
    for (const said of ['11Z', 'CZ']) expect(await types(client, 'Z')).toBe(said);
    client.send(message('Q', 'deallocate a\0'), message('Q', 'deallocate all\0'), message('D', 'Sb\0'), sync);
    for (const said of ['EZ', 'CZ', 'EZ']) expect(await types(client, 'Z')).toBe(said);
  });

  test('a client cannot keep more statements than a hundred', async () => {
    const client = await raw(await start());
    for (let count = 0; count < 100; count += 1) client.send(parse('RESUME', `s${count}`));
    client.send(parse('RESUME', 'more'), sync);
    const said = await types(client, 'Z');
    expect(said).toBe(`${'1'.repeat(100)}EZ`);
  });

  test('the login has its deadline, and a replication connection is refused', async () => {
    const running = await start({ loginTimeout: '2s' });
    const slow = await RawClient.connect(running.port);
    slow.send(startup({ user: '_', database: 'pgbouncer' }));
    await slow.until('R');
    expect(await slow.error()).toMatchObject({ S: 'FATAL', C: '57014' });
    const replica = await RawClient.connect(running.port);
    replica.send(startup({ user: '_', database: 'pgbouncer', replication: 'database' }));
    await replica.until('R');
    replica.send(message('p', `${running.operator}\0`));
    expect(await replica.error()).toMatchObject({ C: '0A000' });
  });

  test('a drain ends the session with 57P01', async () => {
    const running = await start();
    const client = await raw(running);
    const drained = running.gateway.drain();
    expect(await client.error()).toMatchObject({ S: 'FATAL', C: '57P01' });
    await drained;
    expect(running.lines('close')).toMatchObject([{ subject: 'olga', reason: 'drained' }]);
  });
});

describeWith('psql', (psql) => {
  test('runs commands one after the other', async () => {
    const running = await start();
    const run = promisify(execFile);
    const env = { ...process.env, PGPASSWORD: running.operator, PGSSLMODE: 'disable' };
    const where = `host=127.0.0.1 port=${running.port} user=_ dbname=pgbouncer application_name=ops`;
    const commands = ['SHOW VERSION', 'PAUSE orders;', 'RESUME "orders"', 'show databases;'];
    const args = ['-XAt', where, ...commands.flatMap((command) => ['-c', command])];
    const { stdout } = await run(psql, args, { env });
    expect(stdout.split('\n')).toEqual([
      expect.stringMatching(/^PgBouncer \d+\.\d+\.\d+ \(Postern \d+\.\d+/),
      'PAUSE',
      'RESUME',
      expect.stringMatching(/^orders\|127\.0\.0\.1\|/),
      '',
    ]);
  });
});

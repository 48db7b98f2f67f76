/** What the console understands, and what it tells: every command and every SHOW of PgBouncer's, and what drivers say besides. */
import { describe, expect, test } from 'vitest';
import { statementsOf } from '../../plugins/console/words.ts';
import { RawClient, startup } from '../support/raw-client.ts';
import { ofOrders, operatedGateways, show, until } from '../core/operations/operator-tools.ts';

const start = operatedGateways();

describe('words', () => {
  const read = (text: string): readonly (readonly string[])[] =>
    statementsOf(text).map((words) => words.rest().map(({ kind, text: said }) => `${kind} ${said}`));

  test('are names, texts, signs and what stands between blanks; comments and empty statements are none', () => {
    expect(read('SET "a""b" = \'it\'\'s\', (x) -- rest\n;; /* /* */ ; */ KILL_CLIENT a-b.c*')).toEqual([
      ['word SET', 'name a"b', 'sign =', "text it's", 'sign ,', 'sign (', 'word x', 'sign )'],
      ['word KILL_CLIENT', 'word a-b.c*'],
    ]);
    expect(read(' \t\r\n\f\v;--')).toEqual([]);
    expect(read('a--b\nc/*d*/e')).toEqual([['word a', 'word c', 'word e']]);
  });

  test.each(['"a', "'a", "'a''", '/* a', '/* /* */', '"'])('%s has no end, and is refused', (text) => {
    expect(() => statementsOf(text)).toThrow(expect.objectContaining({ code: 'syntax_error' }));
  });

  test.each([' ', 'a', '-', '/', '/*', '*/', '"', "'", "''", '""', ';', '--\n', "'a' ", 'set x to ', '1'])(
    'a text of %j is read in time in proportion to its length',
    (unit) => {
      const used = (length: number): number => {
        const text = `set x = ${unit.repeat(length / unit.length)}z`;
        const rounds = Array.from({ length: 5 }, () => {
          const before = process.cpuUsage();
          try {
            statementsOf(text);
          } catch {
            // One without an end.
          }
          return process.cpuUsage(before).user;
        });
        return Math.min(...rounds);
      };
      used(32_768);
      const [once, sixteenTimes] = [used(32_768), used(524_288)];
      // In proportion it is 16, of the square 256: what collects garbage may take its share. Below a millisecond it is noise.
      expect(sixteenTimes / Math.max(once, 1_000)).toBeLessThan(100);
    },
  );
});

test('comments are blanks, a text may have several commands, and where one is not known none is carried out', async () => {
  const running = await start();
  const desk = await running.console();
  const commands = async (text: string): Promise<readonly string[]> =>
    [await desk.query(text)].flat().map(({ command }) => command);
  for (const text of ['', ';', ' ; ;', '-- ping', '/* a /* nested */ comment */', '--\n;--']) {
    expect([text, await commands(text)]).toEqual([text, [null]]);
  }
  for (const text of ['/* x */ show -- y\n version', 'SHOW\f"version";', 'select version']) {
    expect([text, await commands(text)]).toEqual([text, ['SHOW']]);
  }
  expect(await commands(`PAUSE "orders";; SHOW STATE ; RESUME/**/orders`)).toEqual([
    'PAUSE',
    'SHOW',
    'RESUME',
  ]);
  await expect(desk.query('PAUSE orders; PAUSE orders now')).rejects.toMatchObject({ code: '42601' });
  await expect(desk.query('PAUSE orders; KILL nowhere; RESUME orders')).rejects.toMatchObject({
    code: '3D000',
  });
  expect((await running.ask('GET', '/v1/databases/orders')).body).toMatchObject({ paused: true });
  await desk.query('RESUME orders');
});

test('a transaction is one for drivers: its status, its savepoints, and what comes after an error', async () => {
  const running = await start();
  const desk = await running.console();
  const notices: string[] = [];
  desk.on('notice', ({ code = '' }) => notices.push(code));
  const command = async (text: string): Promise<string> => (await desk.query(text)).command;
  expect(await command('START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY')).toBe('START');
  await command('begin');
  await command('savepoint a');
  await expect(desk.query('nonsense')).rejects.toMatchObject({ code: '42601' });
  await expect(desk.query('SHOW VERSION')).rejects.toMatchObject({ code: '25P02' });
  await expect(desk.query('PAUSE orders')).rejects.toMatchObject({ code: '25P02' });
  expect(await command('rollback to savepoint a')).toBe('ROLLBACK');
  expect(await command('SHOW VERSION')).toBe('SHOW');
  expect(await command('release a')).toBe('RELEASE');
  await expect(desk.query('release a')).rejects.toMatchObject({ code: '3B001' });
  expect(await command('commit and chain')).toBe('ROLLBACK');
  expect(await command('end')).toBe('COMMIT');
  expect(await command('rollback work')).toBe('ROLLBACK');
  await expect(desk.query('savepoint a')).rejects.toMatchObject({ code: '25P01' });
  expect(notices).toEqual(['25001', '25P01']);
  expect((await running.ask('GET', '/v1/databases/orders')).body).toMatchObject({ paused: false });
});

test('run-time parameters are kept as they were set, and those of the gateway are where they belong', async () => {
  const running = await start();
  const desk = await running.console({ application_name: 'ops' });
  const told = new Map<string, string>();
  const { connection } = desk as unknown as {
    connection: {
      on(event: string, heard: (message: { parameterName: string; parameterValue: string }) => void): void;
    };
  };
  connection.on('parameterStatus', ({ parameterName, parameterValue }) =>
    told.set(parameterName, parameterValue),
  );
  const value = async (name: string): Promise<unknown> => Object.values((await show(desk, name))[0] ?? {})[0];
  expect(await value('application_name')).toBe('ops');
  await desk.query("set session application_name to 'it''s'");
  await desk.query('SET TIME ZONE "Europe/Vienna"; set search_path = a, "B", default');
  await desk.query("set local statement_timeout = 5; set names 'utf-8'; SET standard_conforming_strings=on");
  await desk.query('set session characteristics as transaction read only; set extra_float_digits to 3');
  expect(await value('application_name')).toBe("it's");
  expect(await value('time zone')).toBe('Europe/Vienna');
  expect(await value('search_path')).toBe('a, B, default');
  expect(await value('extra_float_digits')).toBe('3');
  expect(Object.fromEntries(told)).toMatchObject({ application_name: "it's", TimeZone: 'Europe/Vienna' });
  expect((await show(desk, 'CLIENTS'))[0]).toMatchObject({ application_name: "it's" });
  expect((await desk.query("select set_config('application_name', 'fn', false)")).rows).toEqual([
    { set_config: 'fn' },
  ]);
  expect(
    (await desk.query("select current_setting('application_name') as name, 'x', null, true")).rows,
  ).toEqual([{ name: 'fn', '?column?': null, bool: true }]);
  expect((await desk.query('RESET application_name')).command).toBe('RESET');
  expect(told.get('application_name')).toBe('ops');
  expect((await desk.query('DISCARD ALL')).command).toBe('DISCARD');
  expect(await value('TimeZone')).toBe('GMT');
  const refused: Readonly<Record<string, string>> = {
    "set client_encoding = 'LATIN1'": '22023',
    'set standard_conforming_strings = off': '55P02',
    "set server_version = '9'": '55P02',
    'set drainTimeout = 5': '42704',
    'set default_pool_size = 5': '42704',
    "set postern.token = 'canary-token'": '42704',
    'begin; discard all': '25001',
  };
  for (const [text, code] of Object.entries(refused)) {
    const error = (await desk.query(text).catch((thrown: unknown) => thrown)) as Error;
    expect([text, error]).toMatchObject([text, { code }]);
    expect(error.message).not.toContain('canary');
    await desk.query('rollback');
  }
});

test('SHOW tells what there is of users, sockets, files, memory and totals, and never a key', async () => {
  const running = await start({ orders: { pool: { mode: 'transaction', perRole: 4, maxLifetime: '90s' } } });
  const desk = await running.console();
  const client = await running.client({ application_name: 'shop' });
  await client.query('begin');
  expect((await show(desk, 'USERS')).find(({ name }) => name === 'reader')).toEqual({
    name: 'reader',
    pool_mode: null,
    pool_size: '',
    reserve_pool_size: '',
    max_user_connections: 4,
    current_connections: 1,
    max_user_client_connections: 0,
    current_client_connections: 1,
  });
  expect(ofOrders(await show(desk, 'DATABASES'))).toMatchObject({
    server_lifetime: 90,
    current_client_connections: 1,
    load_balance_hosts: null,
    disabled: 0,
  });
  const sockets = await show(desk, 'SOCKETS');
  expect(sockets.map(({ state, database }) => [state, database])).toEqual(
    expect.arrayContaining([
      ['cl_active', 'orders'],
      ['cl_active', 'pgbouncer'],
      ['sv_active', 'orders'],
    ]),
  );
  const files = await show(desk, 'FDS');
  expect(files.map(({ task }) => task)).toEqual(expect.arrayContaining(['pooler', 'client', 'server']));
  expect(files.find(({ task }) => task === 'pooler')).toMatchObject({
    addr: '127.0.0.1',
    port: running.port,
  });
  const file = files.find(({ task, user }) => task === 'client' && user === 'reader');
  expect(file).toMatchObject({ database: 'orders', client_encoding: 'UTF8', std_strings: 'on' });
  expect(files.find(({ task }) => task === 'server')?.['fd']).toBe(file?.['link']);
  for (const one of files) {
    expect(one).toMatchObject({
      cancel: null,
      password: null,
      scram_client_key: null,
      scram_server_key: null,
    });
  }
  const memory = await show(desk, 'MEM');
  const resident = memory.find(({ name }) => name === 'resident');
  expect(Number(resident?.['memtotal'])).toBeGreaterThan(10_000_000);
  for (const { used, free, memtotal } of memory) expect(Number(used) + Number(free)).toBe(Number(memtotal));
  const totals = new Map((await show(desk, 'TOTALS')).map(({ name, value }) => [name, Number(value)]));
  const sum = (await show(desk, 'STATS_TOTALS')).reduce((all, row) => all + Number(row['query_count']), 0);
  // The console's own statements are among them.
  expect(sum - (totals.get('total_query_count') ?? 0)).toBe(1);
  for (const nothing of ['DNS_HOSTS', 'DNS_ZONES', 'PEERS', 'PEER_POOLS'])
    expect(await show(desk, nothing)).toEqual([]);
  await client.query('commit');
});

test('a client that is logging in, and one that does not read, are among the sockets', async () => {
  const running = await start({ loginTimeout: '60s', orders: { pool: { mode: 'transaction' } } });
  const desk = await running.console();
  const arriving = await RawClient.connect(running.port);
  arriving.send(startup({ user: 'somebody', database: 'orders' }));
  await arriving.until('R');
  const deaf = await running.client();
  const { stream } = (deaf as unknown as { connection: { stream: { pause(): void } } }).connection;
  deaf.query("select repeat('x', 1000) from generate_series(1, 50000)").catch(() => {});
  stream.pause();
  await until(async () => (await show(desk, 'ACTIVE_SOCKETS')).some(({ database }) => database === 'orders'));
  expect((await show(desk, 'SOCKETS')).find(({ state }) => state === 'cl_login')).toMatchObject({
    user: 'somebody',
    database: 'orders',
    addr: '127.0.0.1',
  });
  expect((await show(desk, 'LISTS')).find(({ list }) => list === 'login_clients')).toMatchObject({
    items: 1,
  });
  arriving.destroy();
  (stream as unknown as { destroy(): void }).destroy();
});

/** One client of a pool in transaction mode asks for session mode, and the other way round, by `options=-c postern.pool=…`. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Client, ClientConfig } from 'pg';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { PoolOptions } from '../../core/contract/pool.ts';
import { databaseOf } from '../support/gateway.ts';
import type { TestConfig } from '../support/gateway.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { home, startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RawClient, cancelRequest } from '../support/raw-client.ts';

const run = promisify(execFile);
const postgres = sharedPostgres();
const SESSION = '-c postern.pool=session';
const TRANSACTION = '-c postern.pool=transaction';
let database: string;
let running: Operated;
const clients: Client[] = [];

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql('grant temporary on database ' + database + ' to public');
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => {})));
  await expect.poll(async () => (await state())['inSessionMode']).toBe(0);
  await running.gateway.stop();
});

async function start(pool: Partial<PoolOptions>, more: Partial<TestConfig> = {}): Promise<void> {
  running = await startOperated(postgres, {
    ...more,
    databases: { orders: databaseOf(postgres, { database, pool }) },
  });
}

async function come(options?: string, more: ClientConfig = {}): Promise<Client> {
  const client = await running.client({ ...(options !== undefined && { options }), ...more });
  clients.push(client);
  return client;
}

const state = async (): Promise<Record<string, unknown>> =>
  (await running.ask('GET', '/v1/databases/orders')).body as Record<string, unknown>;

async function value(client: Client, text: string): Promise<unknown> {
  const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' });
  return rows[0]?.[0];
}

const pid = (client: Client): Promise<unknown> => value(client, 'select pg_backend_pid()');
/** The ids that the client was told at its login. */
const told = (client: Client): { processID: number; secretKey: number } =>
  client as unknown as { processID: number; secretKey: number };
const POOL = { mode: 'transaction', clientMode: 'choose', size: 4, mostSessions: 2 } as const;

describe('what a session leaves between its transactions stays, as without a gateway', () => {
  test('settings, temporary tables, statements, locks and its process', async () => {
    await start(POOL);
    const [keeps, ...others] = await Promise.all([come(SESSION), come(), come(), come()]);
    const own = await pid(keeps);
    expect(own).toBe(told(keeps).processID);
    await keeps.query("set work_mem = '7MB'");
    await keeps.query('create temp table kept as select 1 as n');
    await keeps.query('prepare mine as select 2');
    await keeps.query('select pg_advisory_lock(4711)');
    for (let round = 0; round < 10; round += 1) {
      const pids = await Promise.all(others.map((other) => pid(other)));
      expect(pids).not.toContain(own);
    }
    expect(await pid(keeps)).toBe(own);
    expect(await value(keeps, 'show work_mem')).toBe('7MB');
    expect(await value(keeps, 'select n from kept')).toBe(1);
    expect(await value(keeps, 'execute mine')).toBe(2);
    expect(await value(others[0], 'select pg_try_advisory_lock(4711)')).toBe(false);
    expect(await value(others[0], 'show work_mem')).toBe('4MB');
  });

  test('what it has heard, also while it says nothing', async () => {
    await start(POOL);
    const [hears, says] = await Promise.all([come(SESSION), come()]);
    const heard = new Promise((resolve) => hears.once('notification', resolve));
    await hears.query('listen news');
    await says.query("notify news, 'now'");
    expect(await heard).toMatchObject({ channel: 'news', payload: 'now' });
  });

  test('a cancel hits its own statement', async () => {
    await start(POOL);
    const sleeps = await come(SESSION);
    const slept = sleeps.query('select pg_sleep(60)').catch((error: unknown) => error);
    const { processID, secretKey } = told(sleeps);
    const busy = `select 1 from pg_stat_activity where pid = ${processID} and query like 'select pg_sleep%' and state = 'active'`;
    await expect.poll(async () => (await postgres.sql(busy)).length).toBe(1);
    const secret = Buffer.alloc(4);
    secret.writeInt32BE(secretKey);
    const canceller = await RawClient.connect(running.port);
    canceller.send(cancelRequest(processID, secret));
    expect(await slept).toMatchObject({ code: '57014' });
    canceller.destroy();
  });

  describeWith('psql', (psql) => {
    test('for psql with PGOPTIONS', async () => {
      await start(POOL);
      const environment = {
        ...process.env,
        PGHOST: '127.0.0.1',
        PGPORT: String(running.port),
        PGUSER: '_',
        PGDATABASE: 'orders',
        PGPASSWORD: home.sign(),
        PGOPTIONS: `${SESSION} -c search_path=pg_catalog`,
      };
      const other = await come();
      const script = [
        'create temp table t as select 5 as n',
        'set statement_timeout = 1234',
        'listen here',
        "notify here, 'psql'",
        'select n from t',
        'show statement_timeout',
        'show search_path',
      ];
      const { stdout } = await run(psql, ['-XAtq', ...script.flatMap((text) => ['-c', text])], {
        env: environment,
      });
      expect(stdout).toContain('5\n1234ms\npg_catalog\n');
      expect(stdout).toContain('Asynchronous notification "here" with payload "psql"');
      expect(await value(other, "select to_regclass('pg_temp.t')")).toBe(null);
    });
  });
});

describe('it shares the pool with the others', () => {
  test('begins with a clean connection, and leaves one behind', async () => {
    await start({ ...POOL, size: 2, mostSessions: 1 });
    const [first, other] = [await come(), await come()];
    // Both connections have statements that are prepared under names of the gateway.
    await Promise.all(
      [first, other].map((client) => client.query({ name: 'a', text: 'select pg_sleep(0.1)' })),
    );
    const keeps = await come(SESSION);
    expect(await value(keeps, 'select count(*)::int from pg_prepared_statements')).toBe(0);
    expect(await value(keeps, 'show work_mem')).toBe('4MB');
    await keeps.query("set work_mem = '8MB'; create temp table left_behind (); select pg_advisory_lock(99)");
    const own = await pid(keeps);
    await keeps.end();
    await expect
      .poll(
        async () =>
          (await postgres.sql(`select from pg_locks where locktype = 'advisory' and pid = ${String(own)}`))
            .length,
      )
      .toBe(0);
    for (let round = 0; round < 5; round += 1) {
      const work = await Promise.all([first, other].map((client) => value(client, 'show work_mem')));
      expect(work).toEqual(['4MB', '4MB']);
      expect(await value(first, "select to_regclass('pg_temp.left_behind')")).toBe(null);
    }
  });

  test('no more than mostSessions at once: who comes later waits for one of them, and the others go on', async () => {
    await start({ ...POOL, queueTimeout: '5s' });
    const kept = [await come(SESSION), await come(SESSION)];
    const others = await Promise.all([come(), come(), come(), come()]);
    expect(await state()).toMatchObject({ mode: 'transaction', clientMode: 'choose', inSessionMode: 2 });
    const refused = come(SESSION).catch((error: unknown) => error);
    for (let round = 0; round < 20; round += 1)
      await Promise.all(others.map((other) => other.query('select 1')));
    expect(await refused).toMatchObject({
      code: '53300',
      hint: expect.stringContaining('mostSessions') as string,
    });
    expect((await state())['connections']).toBeLessThanOrEqual(4);
    await running.gateway.stop();
    clients.splice(0);
    expect(kept).toHaveLength(2);
    await start(POOL);
    const [a] = [await come(SESSION), await come(SESSION)];
    const third = come(SESSION);
    await expect.poll(async () => (await state())['waiting']).toBe(1);
    await a.end();
    expect(await value(await third, 'select 3')).toBe(3);
  });

  test('where the time of its login is over first, it reads the same', async () => {
    await start({ ...POOL, mostSessions: 1 }, { loginTimeout: '1s' });
    await come(SESSION);
    await expect(come(SESSION)).rejects.toMatchObject({
      code: '53300',
      hint: expect.stringContaining('mostSessions') as string,
    });
  });

  test('by default half of size', async () => {
    await start({ mode: 'transaction', clientMode: 'choose', size: 3 });
    const first = await come(SESSION);
    const second = come(SESSION);
    await expect.poll(async () => (await state())['waiting']).toBe(1);
    expect(await state()).toMatchObject({ mostSessions: 1, inSessionMode: 2 });
    expect(await value(await come(), 'select 2')).toBe(2);
    await first.end();
    expect(await value(await second, 'select 1')).toBe(1);
  });

  test('of one role at most one less than perRole: its others go on', async () => {
    await start({ ...POOL, perRole: 2 });
    const first = await come(SESSION);
    const second = come(SESSION);
    await expect.poll(async () => (await state())['waiting']).toBe(1);
    expect(await value(await come(), 'select 2')).toBe(2);
    await first.end();
    expect(await value(await second, 'select 1')).toBe(1);
  });

  test('operators see who is in which mode', async () => {
    await start(POOL);
    await Promise.all([come(SESSION), come()]);
    const { body } = await running.ask('GET', '/v1/sessions');
    const { sessions } = body as { sessions: readonly { mode: string }[] };
    expect(sessions.map(({ mode }) => mode).toSorted()).toEqual(['session', 'transaction']);
    const desk = await running.console();
    const { rows } = await desk.query<{ pool_mode: string | null; database: string }>('SHOW CLIENTS');
    const modes = rows.filter(({ database: name }) => name === 'orders').map(({ pool_mode }) => pool_mode);
    expect(modes.toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual(['session', 'transaction']);
    await desk.end();
  });
});

test('in a pool in session mode, clients in transaction mode share a connection', async () => {
  await start({ clientMode: 'choose', size: 1 });
  const [one, other] = [await come(TRANSACTION), await come(TRANSACTION)];
  const pids = [await pid(one), await pid(other), await pid(one)];
  // Workers give its place to each other, and each opens it anew.
  if (workersOf() === 1) expect(new Set(pids).size).toBe(1);
});

describe('is refused', () => {
  test.each<[Partial<PoolOptions>, string]>([
    [{ mode: 'transaction', size: 2 }, SESSION],
    [{ size: 2 }, TRANSACTION],
  ])('where the config does not say that clients may choose: %j, %s', async (pool, options) => {
    await start(pool);
    await expect(come(options)).rejects.toMatchObject({
      code: '0A000',
      severity: 'FATAL',
      message: expect.stringMatching(/database "orders" has no (session|transaction) mode/) as string,
      hint: expect.stringContaining("clientMode: 'choose'") as string,
    });
    // The mode that it has may be asked for.
    const same = options === SESSION ? TRANSACTION : SESSION;
    expect(await value(await come(same), 'select 1')).toBe(1);
  });

  test.each(['statement', 'Session', ''])('where there is no such mode: %j', async (mode) => {
    await start(POOL);
    await expect(come(`-c postern.pool=${mode}`)).rejects.toMatchObject({ code: '22023', severity: 'FATAL' });
  });
});

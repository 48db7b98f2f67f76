/** The console beside PgBouncer's: the same columns in the same order with the same types, and what its exporter asks. */
import type { Client, FieldDef } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startOperated } from '../../support/operated.ts';
import type { Operated } from '../../support/operated.ts';
import { startPgBouncer } from '../../support/pgbouncer.ts';
import type { PgBouncer } from '../../support/pgbouncer.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { describeWith } from '../../support/programs.ts';

let ours: Operated;
let desk: Client;
let client: Client;

beforeAll(async () => {
  ours = await startOperated(sharedPostgres(), { orders: { pool: { mode: 'transaction', size: 3 } } });
  client = await ours.client();
  await client.query('select 1');
  desk = await ours.console();
});
afterAll(async () => {
  await client.end();
  await desk.end();
  await ours.gateway.stop();
});

const columns = (fields: readonly FieldDef[]): readonly string[] =>
  fields.map(({ name, dataTypeID, dataTypeSize }) => `${name} ${dataTypeID} ${dataTypeSize}`);
const columnsOf = async (one: Client, sql: string): Promise<readonly string[]> =>
  columns((await one.query(sql)).fields);

describeWith('pgbouncer', (program) => {
  let theirs: PgBouncer;
  let theirConsole: Client;

  beforeAll(async () => {
    theirs = await startPgBouncer(program, sharedPostgres());
    theirConsole = await theirs.connect('pgbouncer');
  });
  afterAll(async () => {
    await theirConsole.end();
    await theirs.stop();
  });

  test.each(['POOLS', 'DATABASES', 'LISTS', 'CONFIG', 'VERSION'])('SHOW %s', async (what) => {
    expect(await columnsOf(desk, `SHOW ${what}`)).toEqual(await columnsOf(theirConsole, `SHOW ${what}`));
  });

  test.each(['CLIENTS', 'SERVERS', 'STATS', 'STATS_TOTALS', 'STATS_AVERAGES'])(
    'SHOW %s, with more columns behind them',
    async (what) => {
      const [own, their] = [
        await columnsOf(desk, `SHOW ${what}`),
        await columnsOf(theirConsole, `SHOW ${what}`),
      ];
      // Newer versions of PgBouncer than the one that is compared have put columns in between.
      expect(own.filter((column) => their.includes(column))).toEqual(their);
      if (theirs.version.includes(' 1.18')) expect(own.slice(0, their.length)).toEqual(their);
    },
  );

  test('the lists are the same', async () => {
    const lists = async (one: Client): Promise<readonly unknown[]> =>
      (await one.query<{ list: string }>('SHOW LISTS')).rows.map(({ list }) => list);
    const their = await lists(theirConsole);
    expect((await lists(desk)).filter((list) => their.includes(list))).toEqual(
      their.filter((list) => !['peers', 'peer_pools', 'active_connections'].includes(String(list))),
    );
  });

  test('numbers mean the same: one client after the same statements', async () => {
    const their = await theirs.connect('orders');
    const own = await ours.client();
    const run = async (one: Client): Promise<void> => {
      await one.query('begin');
      await one.query('select 1');
      await one.query('commit');
      await one.query('select $1::text', ['x']);
    };
    const counts = async (one: Client): Promise<readonly number[]> => {
      const { rows } = await one.query<Record<string, string>>('SHOW STATS_TOTALS');
      const orders = rows.find(({ database }) => database === 'orders');
      return ['xact_count', 'query_count'].map((name) => Number(orders?.[name]));
    };
    const grown = async (one: Client, there: Client): Promise<readonly number[]> => {
      const before = await counts(there);
      await run(one);
      return (await counts(there)).map((count, place) => count - (before[place] ?? 0));
    };
    expect(await grown(own, desk)).toEqual(await grown(their, theirConsole));
    const pool = async (there: Client): Promise<Record<string, unknown> | undefined> =>
      (await there.query<Record<string, unknown>>('SHOW POOLS')).rows.find(
        ({ database }) => database === 'orders',
      );
    await own.query('begin');
    await their.query('begin');
    const { sv_active, cl_waiting, maxwait } = (await pool(theirConsole)) ?? {};
    expect(await pool(desk)).toMatchObject({ sv_active, cl_waiting, maxwait });
    await own.end();
    await their.end();
  });

  test('a tag that ends a command, and an error that does not end the session', async () => {
    for (const command of ['RECONNECT', 'RECONNECT orders', 'show version;', 'set client_encoding to utf8']) {
      const [own, their] = [await desk.query(command), await theirConsole.query(command)];
      expect([command, own.command]).toEqual([command, their.command]);
    }
    for (const command of ['select 1', 'SHOW nothing', 'PAUSE nowhere', 'KILL', 'KILL nowhere', 'SHOW']) {
      for (const one of [desk, theirConsole]) {
        await expect(one.query(command), command).rejects.toMatchObject({ severity: 'ERROR' });
      }
    }
    expect((await desk.query('SHOW VERSION')).rows).toHaveLength(1);
  });
});

/** What pgbouncer_exporter maps of each result, as labels and as numbers (its collector.go). */
const EXPORTED = {
  databases: {
    labels: ['name', 'host', 'port', 'database', 'force_user', 'pool_mode'],
    numbers: ['pool_size', 'reserve_pool', 'max_connections', 'current_connections', 'paused', 'disabled'],
  },
  stats_totals: {
    labels: ['database'],
    numbers: [
      'query_count',
      'query_time',
      'bytes_received',
      'bytes_sent',
      'wait_time',
      'xact_count',
      'xact_time',
      'client_parse_count',
      'server_parse_count',
      'bind_count',
    ],
  },
  pools: {
    labels: ['database', 'user'],
    numbers: [
      'cl_active',
      'cl_active_cancel_req',
      'cl_waiting',
      'cl_waiting_cancel_req',
      'sv_active',
      'sv_active_cancel',
      'sv_being_canceled',
      'sv_idle',
      'sv_used',
      'sv_tested',
      'sv_login',
      'maxwait',
    ],
  },
} as const;

/** Its own lists. */
const LISTS = [
  'databases',
  'users',
  'pools',
  'free_clients',
  'used_clients',
  'login_clients',
  'free_servers',
  'used_servers',
  'dns_names',
  'dns_zones',
  'dns_queries',
];
const [INT4, NUMERIC, TEXT] = [23, 1700, 25];

describe('pgbouncer_exporter', () => {
  test.each(Object.entries(EXPORTED))('SHOW %s has what it maps', async (what, { labels, numbers }) => {
    const { rows, fields } = await desk.query<Record<string, unknown>>(`SHOW ${what};`);
    const types = new Map(fields.map(({ name, dataTypeID }) => [name, dataTypeID]));
    for (const name of labels)
      expect([name, [INT4, TEXT].includes(types.get(name) ?? 0)]).toEqual([name, true]);
    for (const name of numbers)
      expect([name, [INT4, NUMERIC].includes(types.get(name) ?? 0)]).toEqual([name, true]);
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows)
      for (const name of numbers) expect([name, Number.isFinite(Number(row[name]))]).toEqual([name, true]);
  });

  test('its other queries are answered as it reads them', async () => {
    expect((await desk.query('SHOW STATS')).rows.length).toBeGreaterThan(0);
    const version = await desk.query('SHOW VERSION;');
    expect(version.fields.map(({ name }) => name)).toEqual(['version']);
    const lists = await desk.query<{ list: string; items: number }>('SHOW LISTS;');
    expect(lists.fields.map(({ name }) => name)).toEqual(['list', 'items']);
    expect(lists.rows.map(({ list }) => list)).toEqual(expect.arrayContaining(LISTS));
    const config = await desk.query<{ key: string; value: string }>('SHOW CONFIG;');
    expect(config.fields).toHaveLength(4);
    const limits = config.rows.filter(({ key }) => ['max_client_conn', 'max_user_connections'].includes(key));
    expect(limits.map(({ value }) => Number(value))).toEqual([0, 0]);
  });
});

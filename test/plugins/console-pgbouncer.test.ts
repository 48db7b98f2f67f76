/** The console beside PgBouncer's: the same columns in the same order with the same types, and what its exporter asks. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, FieldDef } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import type { PgBouncer } from '../support/pgbouncer.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';

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

  test.each(['LISTS', 'CONFIG', 'VERSION', 'FDS', 'TOTALS', 'DNS_HOSTS', 'DNS_ZONES'])(
    'SHOW %s has the same columns',
    async (what) => {
      expect(await columnsOf(desk, `SHOW ${what}`)).toEqual(await columnsOf(theirConsole, `SHOW ${what}`));
    },
  );

  const WITH_MORE = ['POOLS', 'DATABASES', 'CLIENTS', 'SERVERS', 'USERS', 'SOCKETS', 'ACTIVE_SOCKETS'];
  test.each([...WITH_MORE, 'STATS', 'STATS_TOTALS', 'STATS_AVERAGES'])(
    'SHOW %s has the same columns, and more behind them',
    async (what) => {
      const [own, their] = [
        await columnsOf(desk, `SHOW ${what}`),
        await columnsOf(theirConsole, `SHOW ${what}`),
      ];
      // Newer versions of PgBouncer than the one that is compared have put columns in between.
      const also = (column: string): boolean => own.includes(column);
      if (theirs.version.includes(' 1.18')) expect(own.slice(0, their.length)).toEqual(their);
      else
        expect(own.filter((column) => their.includes(column)).toSorted()).toEqual(
          their.filter(also).toSorted(),
        );
    },
  );

  test('SHOW MEM has the same columns, in which there is room for more than 2 GiB', async () => {
    const named = async (one: Client): Promise<readonly string[]> =>
      (await one.query('SHOW MEM')).fields.map(({ name }) => name);
    expect(await named(desk)).toEqual(await named(theirConsole));
    expect(await columnsOf(desk, 'SHOW MEM')).toEqual([
      'name 25 -1',
      'size 23 4',
      ...['used', 'free', 'memtotal'].map((name) => `${name} 20 8`),
    ]);
  });

  test('SHOW TOTALS has the same names, and more between them', async () => {
    const names = async (one: Client): Promise<readonly string[]> =>
      (await one.query<{ name: string }>('SHOW TOTALS')).rows.map(({ name }) => name);
    const their = await names(theirConsole);
    expect((await names(desk)).filter((name) => their.includes(name))).toEqual(their);
  });

  test('the lists are the same', async () => {
    const lists = async (one: Client): Promise<readonly unknown[]> =>
      (await one.query<{ list: string }>('SHOW LISTS')).rows.map(({ list }) => list);
    const their = await lists(theirConsole);
    expect((await lists(desk)).filter((list) => their.includes(list))).toEqual(
      their.filter((list) => list !== 'active_connections'),
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
    const done = ['RECONNECT', 'RECONNECT orders', 'WAIT_CLOSE', 'WAIT_CLOSE orders', 'SUSPEND', 'RESUME'];
    const more = [
      'DISABLE orders',
      'ENABLE "orders"',
      'show version;',
      'set client_encoding to utf8',
      'select version',
    ];
    for (const command of [...done, ...more]) {
      const [own, their] = [await desk.query(command), await theirConsole.query(command)];
      expect([command, own.command]).toEqual([command, their.command]);
    }
    const wrong = [
      'SHOW nothing',
      'PAUSE nowhere',
      'KILL',
      'KILL nowhere',
      'SHOW',
      'DISABLE',
      'ENABLE nowhere',
    ];
    const worse = [
      'DISABLE nowhere',
      'WAIT_CLOSE nowhere',
      'SHUTDOWN now',
      'SUSPEND now',
      'RELOAD now',
      'set x = 1',
    ];
    for (const command of [...wrong, ...worse, 'KILL_CLIENT nobody']) {
      for (const one of [desk, theirConsole]) {
        await expect(one.query(command), command).rejects.toMatchObject({ severity: 'ERROR' });
      }
    }
    expect((await desk.query('SHOW VERSION')).rows).toHaveLength(1);
  });

  test('a database that is disabled refuses whoever comes, and serves those that are there', async () => {
    const places = [
      { there: desk, comes: () => ours.client(), sqlstate: '55000', open: client },
      {
        there: theirConsole,
        comes: () => theirs.connect('orders'),
        sqlstate: '08P01',
        open: await theirs.connect('orders'),
      },
    ];
    for (const { there, comes, sqlstate, open } of places) {
      await there.query('DISABLE orders');
      await expect(comes()).rejects.toMatchObject({ severity: 'FATAL', code: sqlstate });
      expect((await open.query('select 1')).rows).toHaveLength(1);
      const { rows } = await there.query<Record<string, unknown>>('SHOW DATABASES');
      expect(rows.find(({ name }) => name === 'orders')).toMatchObject({ disabled: 1 });
      await there.query('ENABLE orders');
      await (await comes()).end();
    }
    await places[1]?.open.end();
  });

  test('pgbouncer_exporter gives every name that it gives of PgBouncer, with the same labels', async () => {
    const used = await theirs.connect('orders');
    await used.query('select 1');
    const [own, their] = [await exported(desk), await exported(theirConsole)];
    expect(own.failures).toEqual([]);
    expect(their.failures).toEqual([]);
    const more = own.names.filter((name) => !their.names.includes(name));
    expect(their.names.filter((name) => !own.names.includes(name))).toEqual([]);
    if (theirs.version.includes(' 1.18')) {
      expect(more).toEqual([
        'pgbouncer_stats_totals_binds_total{database}',
        'pgbouncer_stats_totals_client_parses_total{database}',
        'pgbouncer_stats_totals_server_parses_total{database}',
      ]);
    }
    await used.end();
  });

  describeWith('pgbouncer_exporter', (exporter) => {
    test('gives the same names of both', async () => {
      const own = await scrape(exporter, `postgres://_:${ours.operator}@127.0.0.1:${ours.port}/pgbouncer`);
      const their = await scrape(exporter, theirs.url('pgbouncer'));
      expect([own.up, their.up]).toEqual([true, true]);
      expect(their.names.filter((name) => !own.names.includes(name))).toEqual([]);
    });
  });
});

/** The columns of PgBouncer 1.25, which a tool that goes by the version may ask for. */
const NEWEST: Readonly<Record<string, string>> = {
  DATABASES:
    'name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode load_balance_hosts max_connections current_connections max_client_connections current_client_connections paused disabled',
  POOLS:
    'database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts',
  USERS:
    'name pool_size reserve_pool_size pool_mode max_user_connections current_connections max_user_client_connections current_client_connections',
  ...Object.fromEntries(
    ['CLIENTS', 'SERVERS', 'SOCKETS', 'ACTIVE_SOCKETS'].map((what) => [
      what,
      'type user database replication state addr port local_addr local_port connect_time request_time wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id',
    ]),
  ),
  PEERS: 'peer_id host port pool_size',
  PEER_POOLS: 'peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login',
  STATS_TOTALS:
    'database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time client_parse_count server_parse_count bind_count',
};

test.each(Object.entries(NEWEST))('SHOW %s has every column of PgBouncer 1.25', async (what, columns) => {
  const names = (await desk.query(`SHOW ${what}`)).fields.map(({ name }) => name);
  expect(columns.split(' ').filter((name) => !names.includes(name))).toEqual([]);
});

/** What pgbouncer_exporter makes of each result (its collector.go): labels, and numbers with their names. */
const EXPORTED: Readonly<
  Record<string, { labels: readonly string[]; numbers: Readonly<Record<string, string>> }>
> = {
  databases: {
    labels: ['name', 'host', 'port', 'database', 'force_user', 'pool_mode'],
    numbers: {
      pool_size: 'pool_size',
      reserve_pool: 'reserve_pool',
      max_connections: 'max_connections',
      current_connections: 'current_connections',
      paused: 'paused',
      disabled: 'disabled',
    },
  },
  stats_totals: {
    labels: ['database'],
    numbers: {
      query_count: 'queries_pooled_total',
      query_time: 'queries_duration_seconds_total',
      bytes_received: 'received_bytes_total',
      bytes_sent: 'sent_bytes_total',
      wait_time: 'client_wait_seconds_total',
      xact_count: 'sql_transactions_pooled_total',
      xact_time: 'server_in_transaction_seconds_total',
      client_parse_count: 'client_parses_total',
      server_parse_count: 'server_parses_total',
      bind_count: 'binds_total',
    },
  },
  pools: {
    labels: ['database', 'user'],
    numbers: {
      cl_active: 'client_active_connections',
      cl_active_cancel_req: 'client_active_cancel_connections',
      cl_waiting: 'client_waiting_connections',
      cl_waiting_cancel_req: 'client_waiting_cancel_connections',
      sv_active: 'server_active_connections',
      sv_active_cancel: 'server_active_cancel_connections',
      sv_being_canceled: 'server_being_canceled_connections',
      sv_idle: 'server_idle_connections',
      sv_used: 'server_used_connections',
      sv_tested: 'server_testing_connections',
      sv_login: 'server_login_connections',
      maxwait: 'client_maxwait_seconds',
    },
  },
};

/** What it takes of SHOW CONFIG. */
const LIMITS = ['max_client_conn', 'max_user_connections'];
/** What it takes of SHOW LISTS. */
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

/** What it would export: names with the names of their labels, and values that are no numbers. */
async function exported(one: Client): Promise<{ names: readonly string[]; failures: readonly string[] }> {
  const [names, failures] = [new Set<string>(), new Set<string>()];
  const add = (name: string, value: unknown): void => {
    names.add(name);
    if (!Number.isFinite(Number(value))) failures.add(name);
  };
  const rowsOf = async (what: string): Promise<readonly Record<string, unknown>[]> =>
    (await one.query<Record<string, unknown>>(`SHOW ${what};`)).rows;
  await rowsOf('STATS');
  const [version] = await rowsOf('VERSION');
  if (typeof version?.['version'] === 'string') names.add('pgbouncer_version_info{version}');
  for (const { list, items } of await rowsOf('LISTS'))
    if (LISTS.includes(String(list))) add(`pgbouncer_${String(list)}`, items);
  for (const { key, value } of await rowsOf('CONFIG')) {
    if (LIMITS.includes(String(key))) add(`pgbouncer_config_${String(key)}`, value);
  }
  for (const [what, { labels, numbers }] of Object.entries(EXPORTED)) {
    for (const row of await rowsOf(what)) {
      const own = labels.filter((label) => label in row).join(',');
      for (const [column, name] of Object.entries(numbers)) {
        if (column in row) add(`pgbouncer_${what}_${name}{${own}}`, row[column]);
      }
    }
  }
  return { names: [...names].toSorted(), failures: [...failures] };
}

/** Runs the exporter itself: the names of what it gives, and whether it is content. */
async function scrape(exporter: string, url: string): Promise<{ names: readonly string[]; up: boolean }> {
  const port = await freePort();
  // The token must not be in the list of processes.
  const env = { ...process.env, PGBOUNCER_EXPORTER_CONNECTION_STRING: `${url}?sslmode=disable` };
  const child = spawn(exporter, [`--web.listen-address=127.0.0.1:${port}`], { env, stdio: 'ignore' });
  try {
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => undefined);
      const lines = (await answer?.text())?.split('\n').filter((line) => line.startsWith('pgbouncer_')) ?? [];
      const names = [...new Set(lines.map((line) => line.replace(/[{ ].*/, '')))];
      if (names.length > 0) return { names, up: lines.includes('pgbouncer_up 1') };
      if (child.exitCode !== null) throw new Error(`${exporter} ended with ${child.exitCode}`);
      await sleep(50);
    }
  } finally {
    child.kill();
  }
}

describe('pgbouncer_exporter', () => {
  test.each(Object.entries(EXPORTED))('SHOW %s has what it maps', async (what, { labels, numbers }) => {
    const { rows, fields } = await desk.query<Record<string, unknown>>(`SHOW ${what};`);
    const types = new Map(fields.map(({ name, dataTypeID }) => [name, dataTypeID]));
    for (const name of labels)
      expect([name, [INT4, TEXT].includes(types.get(name) ?? 0)]).toEqual([name, true]);
    for (const name of Object.keys(numbers))
      expect([name, [INT4, NUMERIC].includes(types.get(name) ?? 0)]).toEqual([name, true]);
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows)
      for (const name of Object.keys(numbers))
        expect([name, Number.isFinite(Number(row[name]))]).toEqual([name, true]);
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
    const limits = config.rows.filter(({ key }) => LIMITS.includes(key));
    expect(limits.map(({ value }) => Number(value))).toEqual([0, 0]);
  });
});

/** Telegraf's input `pgbouncer`: whole numbers, and texts that stand for them, from what it is told to ask. */
describe('telegraf', () => {
  test.each(['SHOW STATS', 'SHOW POOLS', 'SHOW LISTS', 'SHOW DATABASES'])(
    '%s is all numbers and labels',
    async (text) => {
      const labels = [
        'database',
        'user',
        'pool_mode',
        'name',
        'host',
        'force_user',
        'list',
        'load_balance_hosts',
      ];
      const { rows } = await desk.query<Record<string, unknown>>(text);
      expect(rows.length).toBeGreaterThan(0);
      for (const row of rows) {
        const numbers = Object.entries(row).filter(([name]) => !labels.includes(name));
        for (const [name, value] of numbers)
          expect([name, String(value)]).toEqual([name, expect.stringMatching(/^\d+$/)]);
      }
    },
  );
});

/** What Datadog's check `pgbouncer` reads of each result (its metrics.py). */
const DATADOG: Readonly<Record<string, string>> = {
  'SHOW STATS':
    'database total_xact_count total_query_count total_received total_sent total_query_time total_xact_time total_wait_time avg_xact_count avg_query_count avg_wait_time avg_recv avg_sent avg_xact_time avg_query_time',
  'SHOW POOLS':
    'database user cl_active cl_waiting sv_active sv_idle sv_used sv_tested sv_login maxwait maxwait_us',
  'SHOW DATABASES': 'name pool_size max_connections current_connections',
  'SHOW CLIENTS': 'database user state addr connect_time request_time wait wait_us application_name',
  'SHOW SERVERS': 'database user state connect_time request_time application_name',
};

describe('Datadog', () => {
  test.each(Object.entries(DATADOG))('%s has what it reads', async (text, columns) => {
    const { rows, fields } = await desk.query<Record<string, unknown>>(text);
    const names = fields.map(({ name }) => name);
    expect(columns.split(' ').filter((name) => !names.includes(name))).toEqual([]);
    for (const row of rows) {
      for (const name of ['connect_time', 'request_time'].filter((time) => time in row)) {
        // It takes what stands in front of the second blank.
        expect(row[name]).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( |$)/);
      }
    }
  });

  test('finds a version: the first three numbers, those of the PgBouncer whose columns are there', async () => {
    const { rows } = await desk.query<{ version: string }>('SHOW VERSION;');
    expect(rows[0]?.version).toMatch(/^PgBouncer 1\.\d+\.\d+ \(Postern \d+\.\d+\.\d+\)$/);
    const config = await desk.query<{ key: string; value: string }>('SHOW CONFIG');
    expect(config.rows.find(({ key }) => key === 'max_client_conn')?.value).toBe('0');
  });
});

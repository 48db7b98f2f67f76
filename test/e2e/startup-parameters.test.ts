/** Parameters of the startup packet: through the gateway, in both modes, they do what they do on PostgreSQL itself. */
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../core/contract/database.ts';
import type { PoolOptions } from '../../core/contract/pool.ts';
import type { ListenOptions } from '../../core/contract/listen.ts';
import { parseSchema } from '../../core/contract/names.ts';
import type { Upstream } from '../../core/contract/session.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { home, operatedConfig, startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';
import { databaseOf } from '../support/gateway.ts';

/** Pairs as they stand in the packet; `user` and `database` are those of the place. */
type Packet = Readonly<Record<string, string>>;

const MODES = ['session', 'transaction'] as const;
const PLACES = ['direct', ...MODES] as const;

const postgres = sharedPostgres();
let database: string;
let running: Operated;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    'create schema app; create schema "b c"; grant usage on schema app, "b c" to reader',
    database,
  );
  running = await startOperated(postgres, {
    databases: Object.fromEntries(MODES.map((mode) => [mode, entry({ mode })])),
  });
});
afterAll(async () => {
  await running.gateway.stop();
});

function entry(pool: Partial<PoolOptions>, more: Partial<DatabaseOptions> = {}): DatabaseOptions {
  return databaseOf(postgres, { database, pool: { size: 3, ...pool }, ...more });
}

/** node-postgres, with this packet, behind which it puts its own client_encoding. */
class PacketClient extends Client {
  readonly #packet: Packet;

  constructor(config: ClientConfig, packet: Packet) {
    super(config);
    this.#packet = { user: config.user ?? '', database: config.database ?? '', ...packet };
    this.on('error', () => {});
  }

  getStartupConf(): Packet {
    return this.#packet;
  }
}

function configOf(place: string, port = running.port): ClientConfig {
  if (place === 'direct')
    return {
      host: postgres.host,
      port: postgres.port,
      user: 'reader',
      password: postgres.passwords.reader,
      database,
    };
  return { host: '127.0.0.1', port, user: '_', password: home.sign(), database: place };
}

async function logIn(place: string, packet: Packet, port?: number): Promise<Client> {
  const client = new PacketClient(configOf(place, port), packet);
  await client.connect();
  return client;
}

async function shown(client: Client, names: readonly string[]): Promise<readonly unknown[]> {
  const list = names.map((name, index) => `current_setting('${name}', true) as "${index}"`);
  const { rows } = await client.query<Record<string, unknown>>(`select ${list.join(', ')}`);
  // Null directly, and empty where the connection has known the name: PostgreSQL forgets no name of a setting.
  return Object.values(rows[0] ?? {}).map((value) => value ?? '');
}

/** The values of these settings in a session with this packet, or the refusal of its login. */
async function outcome(
  place: string,
  packet: Packet,
  names: readonly string[],
  port?: number,
): Promise<unknown> {
  let client: Client | undefined;
  try {
    client = await logIn(place, packet, port);
    return await shown(client, names);
  } catch (error) {
    const { severity, code, message, detail, hint } = error as Record<string, unknown>;
    return { severity, code, message, detail, hint };
  } finally {
    await client?.end();
  }
}

/** What PostgreSQL does with it, after both modes were seen to do the same, twice: the second login may need no connection. */
async function same(packet: Packet, names: readonly string[]): Promise<unknown> {
  const direct = await outcome('direct', packet, names);
  for (const mode of [...MODES, ...MODES])
    expect([mode, await outcome(mode, packet, names)]).toEqual([mode, direct]);
  return direct;
}

/** What drivers send, as they send it. */
const DRIVERS: Readonly<Record<string, Packet>> = {
  'pgjdbc with currentSchema and options': {
    client_encoding: 'UTF8',
    DateStyle: 'ISO',
    TimeZone: 'Europe/Berlin',
    extra_float_digits: '3',
    search_path: 'app,"b c"',
    options: '-c statement_timeout=5000',
  },
  'psycopg and Django with a search_path': { options: '-c search_path=app,public', application_name: 'web' },
  'psqlODBC with geqo': { client_encoding: 'UTF8', options: '-c geqo=off', extra_float_digits: '2' },
  'an older psqlODBC': { DateStyle: 'ISO', geqo: 'off' },
  'Prisma with ?schema=': { client_encoding: 'UTF8', search_path: '"b c"' },
  'Npgsql with Search Path and Timezone': {
    client_encoding: 'UTF8',
    application_name: 'app',
    search_path: 'app',
    TimeZone: 'America/New_York',
    options: '-c lock_timeout=3s',
  },
  'pgx with RuntimeParams': {
    search_path: 'app',
    statement_timeout: '7s',
    work_mem: '8MB',
    default_transaction_isolation: 'serializable',
  },
  'asyncpg with server_settings': { client_encoding: "'utf-8'", jit: 'off', timezone: 'Asia/Tokyo' },
  'PGOPTIONS beside application_name': {
    application_name: 'psql',
    options: '-c application_name=x --Statement-Timeout=9s',
  },
  'options with blanks and backslashes': {
    options: String.raw`-c search_path=app,\ \"b\ c\" -capp.user=a\\b --DateStyle=SQL,\ DMY`,
  },
  'the same setting twice in options': { options: '-c work_mem=1MB -c WORK_MEM=2MB' },
  'settings of its own': { 'app.tenant': 'x', options: '-c app.user=7' },
  'names in capitals': { STATEMENT_TIMEOUT: '4s', Search_Path: 'app' },
};

const NAMES = [
  'application_name',
  'app.tenant',
  'app.user',
  'client_encoding',
  'DateStyle',
  'default_transaction_isolation',
  'extra_float_digits',
  'geqo',
  'jit',
  'lock_timeout',
  'search_path',
  'statement_timeout',
  'TimeZone',
  'work_mem',
];

describe('settings in the startup packet are in force', () => {
  test.each(Object.keys(DRIVERS))('of %s', async (driver) => {
    const values = await same(DRIVERS[driver] ?? {}, NAMES);
    expect(values).toHaveLength(NAMES.length);
    expect(values).not.toEqual(await outcome('direct', {}, NAMES));
  });

  test('of node-postgres with its own options', async () => {
    const values = [];
    for (const place of PLACES) {
      const client = new Client({
        ...configOf(place),
        statement_timeout: 1_234,
        lock_timeout: 2_345,
        idle_in_transaction_session_timeout: 3_456,
        application_name: 'own',
        options: '-c search_path=app',
      });
      await client.connect();
      values.push(
        await shown(client, [
          'statement_timeout',
          'lock_timeout',
          'idle_in_transaction_session_timeout',
          'search_path',
        ]),
      );
      await client.end();
    }
    expect(values[0]).toEqual(['1234ms', '2345ms', '3456ms', 'app']);
    expect(values).toEqual([values[0], values[0], values[0]]);
  });

  test('on each server connection that a session gets, and on none of another session', async () => {
    const packets: Packet[] = [
      { search_path: 'app', options: '-c statement_timeout=5s -c app.user=one' },
      { search_path: 'public', options: '-c work_mem=5MB' },
      {},
    ];
    const names = ['search_path', 'statement_timeout', 'work_mem', 'app.user'];
    const expected = await Promise.all(packets.map((packet) => outcome('direct', packet, names)));
    const clients = await Promise.all([...packets, ...packets].map((packet) => logIn('transaction', packet)));
    for (let round = 0; round < 20; round += 1) {
      const got = await Promise.all(clients.map((client) => shown(client, names)));
      expect(got).toEqual([...expected, ...expected]);
    }
    await Promise.all(clients.map((client) => client.end()));
  });

  test('of all settings that a client may choose, in one packet', async () => {
    const all = (await postgres.sql(
      `select name, setting, vartype from pg_settings where context = 'user' order by name`,
    )) as Record<'name' | 'setting' | 'vartype', string>[];
    // About one transaction, or the socket.
    const usual = all.filter(
      ({ name }) => !/^(transaction_|tcp_|role$|session_authorization$|seed$)/.test(name),
    );
    const changed = usual.map(({ name, setting, vartype }): [string, string] => {
      if (vartype === 'bool') return [name, setting === 'on' ? 'off' : 'on'];
      return [name, vartype === 'integer' && Number(setting) > 2 ? String(Number(setting) - 1) : setting];
    });
    expect(changed.length).toBeGreaterThan(100);
    const names = usual.map(({ name }) => name);
    const values = await same(Object.fromEntries(changed), names);
    expect(values).toHaveLength(names.length);
  });
});

describe('what PostgreSQL refuses is refused in its words', () => {
  test.each<[what: string, packet: Packet]>([
    ['a name that it does not know', { options: '-c statment_timeout=5s' }],
    ['a name that it does not know, directly', { no_such: '1' }],
    ['a value that it does not know', { statement_timeout: 'soon' }],
    ['a value out of range', { options: '-c work_mem=1' }],
    ['a zone that it does not know', { TimeZone: 'Mars/Base' }],
    ['a tablespace that it does not know', { default_tablespace: 'nowhere' }],
    ['a setting for superusers', { log_statement: 'all' }],
    ['libraries for each session, which are for superusers', { session_preload_libraries: 'auto_explain' }],
    ['a setting of the whole server', { port: '1' }],
    ['a setting that is read with the configuration', { options: '-c fsync=off' }],
    ['a fact', { server_version: '1' }],
    ['a name that is a member of every object', { constructor: '1' }],
    ['a setting without a value', { options: '-c work_mem' }],
  ])('%s', async (_, packet) => {
    const refusal = await same(packet, ['application_name']);
    expect(refusal).toMatchObject({ severity: 'FATAL' });
  });

  test('and the next login of the same client finds nothing of it', async () => {
    await outcome('transaction', { options: '-c work_mem=3MB -c statement_timeout=soon' }, []);
    expect(await outcome('transaction', {}, ['work_mem'])).toEqual(await outcome('direct', {}, ['work_mem']));
  });

  // PostgreSQL takes these only while a connection begins; one of a pool has begun before.
  test.each<[Packet]>([[{ ignore_system_indexes: 'on' }], [{ options: '-c post_auth_delay=0' }]])(
    'other than directly: %j, which only a new connection can have',
    async (packet) => {
      for (const mode of MODES)
        expect(await outcome(mode, packet, [])).toMatchObject({
          code: '55P02',
          message: expect.stringContaining('cannot be set after connection start') as string,
        });
    },
  );
});

describe('the config says', () => {
  async function started(
    listen: ListenOptions['startup'],
    database_: DatabaseOptions['startup'],
    more: Parameters<typeof operatedConfig>[1] = {},
  ): Promise<Operated> {
    return startOperated(postgres, {
      listen: { port: 0, ...(listen && { startup: listen }) },
      databases: Object.fromEntries(
        MODES.map((mode) => [mode, entry({ mode }, database_ ? { startup: database_ } : {})]),
      ),
      ...more,
    });
  }

  test.each(MODES)('which parameters are ignored, refused, or have a default, in %s mode', async (mode) => {
    const { gateway, port } = await started(
      {
        ignore: ['GEQO'],
        refuse: ['Work_Mem'],
        default: { statement_timeout: '1s', TIMEZONE: 'Asia/Tokyo' },
      },
      { ignore: ['jit', 'search_path'], default: { timezone: 'Asia/Dubai', search_path: 'app' } },
    );
    const names = ['geqo', 'jit', 'statement_timeout', 'TimeZone', 'search_path'];
    const ask = (packet: Packet): Promise<unknown> => outcome(mode, packet, names, port);
    const [geqo, jit] = (await outcome('direct', {}, names)) as string[];
    const other = (value: string | undefined): string => (value === 'on' ? 'off' : 'on');
    try {
      expect(await ask({})).toEqual([geqo, jit, '1s', 'Asia/Dubai', 'app']);
      const packet = {
        geqo: other(geqo),
        options: `-c JIT=${other(jit)} -c search_path=public -c statement_timeout=2s`,
      };
      expect(await ask(packet)).toEqual([geqo, jit, '2s', 'Asia/Dubai', 'app']);
      expect(await ask({ options: '-c work_mem=1MB' })).toMatchObject({
        severity: 'FATAL',
        code: '08P01',
        message: 'unsupported startup parameter: "work_mem"',
        hint: expect.stringContaining('SET after the login') as string,
      });
    } finally {
      await gateway.stop();
    }
  });

  test('and SHOW CONFIG what it says', async () => {
    const operated = await started(
      { ignore: ['GEQO', 'jit'] },
      { refuse: ['Work_Mem'], default: { timezone: 'UTC', statement_timeout: '1s' } },
    );
    const desk = await operated.console();
    const { rows } = await desk.query<{ key: string; value: string; default: string }>('SHOW CONFIG');
    await desk.end();
    await operated.gateway.stop();
    const known = (key: string): unknown => rows.find((row) => row.key === key);
    expect(known('listen.startup.ignore')).toMatchObject({ value: 'geqo, jit', default: '' });
    expect(known('listen.auth')).toMatchObject({ value: 'password', default: 'password', changeable: 'yes' });
    expect(known('listen.startup.refuse')).toMatchObject({ value: '' });
    expect(known('databases.session.startup.refuse')).toMatchObject({ value: 'work_mem' });
    expect(known('databases.session.startup.default')).toMatchObject({
      value: 'TimeZone=UTC, statement_timeout=1s',
    });
    expect(known('databases.transaction.pool.mode')).toMatchObject({
      value: 'transaction',
      default: 'session',
    });
  });

  test('a default that PostgreSQL refuses, and the login is refused with its words', async () => {
    const { gateway, port } = await started(undefined, { default: { statement_timeout: 'soon' } });
    const direct = await outcome('direct', { statement_timeout: 'soon' }, []);
    for (const mode of MODES) expect(await outcome(mode, {}, [], port)).toEqual(direct);
    await gateway.stop();
  });

  test('less than plugins do: their settings and schemas win', async () => {
    const pins = {
      name: 'pins',
      onAuth: (_: unknown, upstream: Upstream): Upstream => ({
        ...upstream,
        settings: { Statement_Timeout: '11s' },
        schemas: [parseSchema('app')],
      }),
    };
    const { gateway, port } = await started({ default: { statement_timeout: '1s' } }, undefined, {
      plugins: [...operatedConfig(postgres).plugins, pins],
    });
    const packet = { search_path: 'public', options: '-c statement_timeout=0 -c work_mem=6MB' };
    for (const mode of MODES)
      expect(await outcome(mode, packet, ['search_path', 'statement_timeout', 'work_mem'], port)).toEqual([
        '"app"',
        '11s',
        '6MB',
      ]);
    await gateway.stop();
  });
});

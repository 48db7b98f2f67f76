/** The programs and servers that replicate, through the gateway: what they set at their startup is in force, and a standby finds its database. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GOOD_TOKEN, databaseOf, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { startPostgres, startReplicated } from '../support/postgres.ts';
import type { OwnPostgres, ReplicatedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';

const run = promisify(execFile);
const ROLE = 'replicating';
const PASSWORD = 'secret';
let servers: ReplicatedPostgres;
let publisher: OwnPostgres;
let running: RunningGateway;
let folder: string;

beforeAll(async () => {
  servers = await startReplicated(1, { flags: { wal_level: 'logical' } });
  publisher = servers.primary;
  await publisher.sql(
    `create role ${ROLE} login replication password '${PASSWORD}'; create table told (n int primary key, x float8);
     insert into told values (1, 0.1::float8 + 0.2); grant select on told to ${ROLE}; create publication news for table told`,
  );
  const login = { kind: 'password', passwords: { [ROLE]: PASSWORD, ...publisher.passwords } } as const;
  const entry = databaseOf(publisher, { login, privilegedRoles: [ROLE] });
  running = await startGateway({
    databases: { orders: { ...entry, replication: true }, closed: entry },
    plugins: [mapTo(ROLE)],
  });
  folder = mkdtempSync(join(tmpdir(), 'postern-replication-'));
});
afterAll(async () => {
  await running.gateway.stop();
  await servers.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Place = 'direct' | 'gateway';

function configOf(place: Place, options: string, replication = 'database'): ClientConfig {
  const more = { options, replication, host: '127.0.0.1' };
  return place === 'direct'
    ? { ...more, port: publisher.port, user: ROLE, password: PASSWORD, database: 'postgres' }
    : { ...more, port: running.port, user: '_', password: GOOD_TOKEN, database: 'orders' };
}

/** What a replication connection answers to each text, ParameterStatus included. */
async function answers(place: Place, options: string, texts: readonly string[]): Promise<unknown> {
  const client = new Client(configOf(place, options));
  const reported: Record<string, string> = {};
  client.on('error', () => {});
  (client as unknown as { connection: NodeJS.EventEmitter }).connection.on(
    'parameterStatus',
    ({ parameterName, parameterValue }: Record<string, string>) => {
      if (parameterName !== undefined) reported[parameterName] = parameterValue ?? '';
    },
  );
  try {
    await client.connect();
    const rows: unknown[] = [];
    for (const text of texts) {
      const said = await client.query(text).catch((error: { code: string }) => ({ rows: [error.code] }));
      rows.push(said.rows);
    }
    return { rows, reported };
  } catch (error) {
    const { code, message, severity } = error as { code: string; message: string; severity: string };
    return { code, message, severity };
  } finally {
    await client.end().catch(() => {});
  }
}

const ASKED = [
  'show extra_float_digits',
  'show datestyle',
  'show intervalstyle',
  'show work_mem',
  'show wal_segment_size',
];

describe('a replication connection has what its startup packet says, as on PostgreSQL', () => {
  test.each([
    [
      'what a subscription sends',
      '-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3',
      ASKED,
    ],
    ['settings that PostgreSQL reports otherwise', '-c datestyle=german -c TimeZone=utc', ASKED],
    ['those that it does not report', '-c work_mem=1MB', ASKED],
    ['those of a standby', '', ASKED],
    [
      'and returns to it by RESET',
      '-c extra_float_digits=3 -c datestyle=German',
      ['set extra_float_digits = 0; set datestyle = ISO', 'reset all', ...ASKED],
    ],
    [
      'of those that are pinned where connections are reset',
      '-c standard_conforming_strings=off -c default_transaction_deferrable=on',
      ['show standard_conforming_strings', 'show default_transaction_deferrable'],
    ],
    ['a value that is out of range', '-c extra_float_digits=99', ASKED],
    ['a parameter that there is not', '-c no_such_parameter=1', ASKED],
    ['one that needs a restart', '-c wal_level=minimal', ASKED],
    ['one of superusers', '-c log_statement=none', ASKED],
  ])('%s', async (_, options, texts) => {
    const [direct, gateway] = [
      await answers('direct', options, texts),
      await answers('gateway', options, texts),
    ];
    expect(gateway).toEqual(direct);
    expect(JSON.stringify(direct).length).toBeGreaterThan(30);
  });

  test('and a client whose setting is refused costs others nothing', async () => {
    for (let count = 0; count < 5; count += 1) await answers('gateway', '-c no_such_parameter=1', []);
    expect(await answers('gateway', '', ['show wal_segment_size'])).toMatchObject({
      rows: [[{ wal_segment_size: '16MB' }]],
    });
    expect(running.lines('the server refuses the login: the same one is tried once per 30 s')).toEqual([]);
  });
});

describeWith('psql', (psql) => {
  test('passes options to a replication connection', async () => {
    const where = `host=127.0.0.1 port=${running.port} user=_ dbname=orders replication=database options='-c extra_float_digits=3'`;
    const env = { ...process.env, PGPASSWORD: GOOD_TOKEN };
    const { stdout } = await run(psql, ['-XAtq', where, '-c', 'SHOW wal_segment_size'], { env });
    expect(stdout).toBe('16MB\n');
  });
});

test('a subscription whose publisher is behind the gateway gets its rows, those of before and those that follow', async () => {
  const subscriber = await startPostgres();
  try {
    const where = `host=127.0.0.1 port=${running.port} user=_ password=${GOOD_TOKEN} dbname=orders`;
    await subscriber.sql('create table told (n int primary key, x float8)');
    await subscriber.sql(`create subscription paper connection '${where}' publication news`);
    const told = async (): Promise<unknown> =>
      (await subscriber.sql('select n, x::text from told order by n')).map(Object.values);
    await expect.poll(told).toEqual([[1, '0.30000000000000004']]);
    await publisher.sql('insert into told values (2, 1 / 3.0); update told set x = 7 where n = 1');
    await expect.poll(told).toEqual([
      [1, '7'],
      [2, '0.3333333333333333'],
    ]);
    await subscriber.sql('drop subscription paper');
    const slots = (): Promise<unknown> =>
      publisher.sql("select slot_name from pg_replication_slots where slot_type = 'logical'");
    await expect.poll(slots).toEqual([]);
  } finally {
    await subscriber.stop();
  }
});

test('a standby streams from the only entry that lets replication pass, although it asks for a database "replication"', async () => {
  const [standby] = servers.replicas;
  const where = `host=127.0.0.1 port=${running.port} user=_ password=${GOOD_TOKEN} application_name=behind_gateway`;
  await standby?.sql(`alter system set primary_conninfo = '${where}'`);
  await standby?.sql('select pg_reload_conf()');
  const senders = (): Promise<unknown> =>
    publisher.sql("select usename, state from pg_stat_replication where application_name = 'behind_gateway'");
  await expect.poll(senders).toEqual([{ usename: ROLE, state: 'streaming' }]);
  await publisher.sql('insert into told values (4711, 1)');
  await expect.poll(async () => standby?.sql('select n from told where n = 4711')).toEqual([{ n: 4711 }]);
});

/** These programs serve servers of their own version and older ones. */
const versionOf = async (path: string): Promise<number> =>
  Number(/\) (\d+)/.exec((await run(path, ['--version'])).stdout)?.[1]);

function environment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PGHOST: '127.0.0.1',
    PGPORT: String(running.port),
    PGUSER: '_',
    PGPASSWORD: GOOD_TOKEN,
  };
}

describeWith('pg_basebackup', (path) => {
  test('copies the server, and streams what is written meanwhile', async (context) => {
    context.skip(
      (await versionOf(path)) < publisher.version,
      `it is older than PostgreSQL ${publisher.version}`,
    );
    const target = join(folder, 'copy');
    await run(path, ['-D', target, '-X', 'stream', '--checkpoint=fast'], { env: environment() });
    expect(readdirSync(target)).toContain('backup_manifest');
  });
});

describeWith('pg_receivewal', (path) => {
  test('receives what is written', async (context) => {
    context.skip(
      (await versionOf(path)) < publisher.version,
      `it is older than PostgreSQL ${publisher.version}`,
    );
    const child = spawn(path, ['-D', folder], { env: environment() });
    const received = (): string[] => readdirSync(folder).filter((name) => /^[0-9A-F]{24}/.test(name));
    await expect.poll(received).not.toEqual([]);
    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number];
    expect(code).toBe(0);
  });
});

/** pg_dump through a transaction pool: the dump of a direct one, byte for byte, or its refusal. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Client } from 'pg';
import { installedBinaries } from '../support/embedded/binaries.ts';
import { GOOD_TOKEN, databaseOf, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';

/** pg_dump refuses a server that is newer than itself: both are of one installation. */
const folder = installedBinaries()
  .map(({ postgres }) => dirname(postgres))
  .find((one) => existsSync(join(one, 'pg_dump')));

/** A random word in each dump: see CVE-2025-8714. */
const KEY = /^(\\(?:un)?restrict) \w+$/gm;

interface Dumped {
  readonly status: number;
  readonly dump: string;
  readonly errors: string;
}

describe.skipIf(folder === undefined)('pg_dump, where it is installed with its server', () => {
  let postgres: OwnPostgres;
  let running: RunningGateway;
  const others: Client[] = [];

  beforeAll(async () => {
    vi.stubEnv('POSTERN_POSTGRES_BIN', folder);
    postgres = await startPostgres();
    vi.unstubAllEnvs();
    await postgres.sql('create database dumped owner writer');
    await postgres.sql(
      `set role writer; create schema own; set search_path = own;
       create type mood as enum ('sad', 'ok'); create table own.a (id int primary key, at timestamptz, m mood, f float8, b bytea, n numeric);
       insert into a select i, '2024-01-01 00:00+05'::timestamptz + i * interval '1 h', 'ok', i / 3.0, convert_to('ü' || i, 'UTF8'), i / 7.0
         from generate_series(1, 500) i;
       create view own.v as select a.id, b.id as other from a join own.a b using (id);
       create function own.f(x int default 3) returns int language sql as 'select x + 1';
       create table own.p (i interval, d date); insert into p values ('1 mon 2 days', '2020-02-29');
       reset role; create schema shared; grant usage on schema shared to writer;
       create table shared.rows (owner text, n int); insert into shared.rows values ('writer', 1), ('reader', 2);
       alter table shared.rows enable row level security; grant select on shared.rows to writer;
       create policy own on shared.rows using (owner = current_user)`,
      'dumped',
    );
    running = await startGateway({
      databases: {
        one: databaseOf(postgres, {
          database: 'dumped',
          pool: { mode: 'transaction', size: 1, queueTimeout: '30s' },
        }),
        two: databaseOf(postgres, {
          database: 'dumped',
          pool: { mode: 'transaction', size: 2, queueTimeout: '30s' },
        }),
      },
      plugins: [mapTo('writer')],
    });
  }, 120_000);
  afterAll(async () => {
    for (const client of others) await client.end();
    await running.gateway.stop();
    await postgres.stop();
  });

  function dump(where: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<Dumped> {
    return new Promise((resolve) => {
      const env = { PATH: process.env['PATH'], PGHOST: '127.0.0.1', ...where };
      execFile(
        join(folder ?? '', 'pg_dump'),
        [...args],
        { env, maxBuffer: 2 ** 26 },
        (error, stdout, stderr) =>
          resolve({ status: Number(error?.code ?? 0), dump: stdout.replaceAll(KEY, '$1'), errors: stderr }),
      );
    });
  }
  const directly = (...args: readonly string[]): Promise<Dumped> =>
    dump(
      {
        PGPORT: String(postgres.port),
        PGUSER: 'writer',
        PGPASSWORD: postgres.passwords.writer,
        PGDATABASE: 'dumped',
      },
      ...args,
    );
  const through = (entry: string, ...args: readonly string[]): Promise<Dumped> =>
    dump({ PGPORT: String(running.port), PGUSER: '_', PGPASSWORD: GOOD_TOKEN, PGDATABASE: entry }, ...args);

  /** Other sessions of the identity take the connections in turn, with settings that would change a dump. */
  async function disturb(entry: string): Promise<() => Promise<void>> {
    const client = new Client({
      host: '127.0.0.1',
      port: running.port,
      user: '_',
      password: GOOD_TOKEN,
      database: entry,
    });
    others.push(client);
    await client.connect();
    await client.query(`set datestyle = 'German'; set extra_float_digits = -5; set bytea_output = escape;
      set timezone = 'Asia/Tokyo'; set search_path = own; set intervalstyle = iso_8601`);
    const state = { over: false };
    const loop = (async () => {
      while (!state.over) await client.query('select 1');
    })();
    return async () => {
      state.over = true;
      await loop;
    };
  }

  test.each([
    ['own', ['--schema=own']],
    ['inserts', ['--schema=own', '--inserts', '--rows-per-insert=50']],
    ['the rows that may be seen', ['--schema=shared', '--enable-row-security']],
  ])('%s: equal to a direct one', async (_name, args) => {
    const expected = await directly(...args);
    expect([expected.status, expected.dump.length > 400]).toEqual([0, true]);
    for (const entry of ['one', 'two']) {
      const calm = await disturb(entry);
      const dumped = await through(entry, ...args);
      await calm();
      expect(dumped).toEqual(expected);
    }
  });

  test('rows that a policy hides refuse the dump, as directly', async () => {
    const expected = await directly('--schema=shared');
    expect(expected.errors).toContain('row-level security');
    for (const entry of ['one', 'two']) {
      const refused = await through(entry, '--schema=shared');
      expect([refused.status, refused.dump, refused.errors]).toEqual([
        expected.status,
        expected.dump,
        expected.errors,
      ]);
    }
  });
});

/** Databases with names as PostgreSQL has them: as directly, by an entry and by a star, and in whatever names them. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import type { DatabaseError } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rolesSql } from '../../core/cli/sql.ts';
import { checkConfig } from '../../core/config/check.ts';
import type { DatabaseOptions } from '../../core/contract/database.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { access, ownIssuer } from '../../plugins/access/index.ts';
import { audit } from '../../plugins/audit/index.ts';
import { console } from '../../plugins/console/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { limits } from '../../plugins/limits/index.ts';
import { operations } from '../../plugins/operations/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { tracing } from '../../plugins/tracing/index.ts';
import { auditLines } from '../support/audit-files.ts';
import { home, startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { parsePrometheus } from '../support/prometheus.ts';

const NAMES = [
  'Größe',
  'A B',
  'a"b',
  "o'k",
  '😀',
  `${'x'.repeat(55)}😀😀`,
  ' blanks ',
  'a\\b',
  'a/b?c=d#e',
  '100%41',
  '-- x',
  'a,b;c',
  '$1 {tenant}',
  '__proto__',
  'all',
  '/re(x)*',
  '\ufefforders',
  'e\u0301',
] as const;

const folder = mkdtempSync(join(tmpdir(), 'postern-names-'));
const file = join(folder, 'audit.jsonl');
let postgres: OwnPostgres;
let running: Operated;

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const at = (): DatabaseOptions => ({
  host: postgres.host,
  port: postgres.port,
  login: { kind: 'password', passwords: postgres.passwords },
  pool: { idleTimeout: '100ms' },
});

/** Each worker has its own. */
function plugins(): AnyPlugin[] {
  const own = ownIssuer({ issuer: 'https://postern.example' });
  return [
    operations(),
    audit({ sink: { file } }),
    tracing({ metrics: { public: true, statements: true } }),
    jwt({ issuers: [home.options, own] }),
    roles({ claim: 'role', allow: ['reader', 'writer'] }),
    limits(),
    console(),
    access({
      issuer: own,
      callers: { issuers: [home.issuer] },
      policy: [
        { who: { claim: 'sub', value: 'alice' }, databases: NAMES, roles: ['reader'], reason: 'optional' },
      ],
      connect: { host: 'gateway.example', sslmode: 'disable' },
    }),
  ];
}

beforeAll(async () => {
  postgres = await startPostgres();
  for (const name of NAMES) await postgres.sql(`create database ${quoted(name)}`);
  const entries = Object.fromEntries(NAMES.map((name) => [`by entry ${name.slice(0, 20)}`, name]));
  const databases = Object.fromEntries(
    Object.entries(entries).map(([entry, database]) => [entry, { ...at(), database }]),
  );
  running = await startOperated(postgres, { databases: { ...databases, '*': at() }, plugins });
});
afterAll(async () => {
  await running?.gateway.stop();
  await postgres?.stop();
  rmSync(folder, { recursive: true });
});

const CURRENT = 'select current_database() as name';

/** The database that a client is in; or the SQLSTATE, and the message without the name. */
async function reached(client: Client): Promise<string> {
  try {
    await client.connect();
    const { rows } = await client.query<{ name: string }>(CURRENT);
    return rows[0]?.name ?? '';
  } catch (error) {
    return (error as DatabaseError).code ?? String(error);
  } finally {
    await client.end().catch(() => {});
  }
}

const directly = (database: string): Promise<string> => {
  const { host, port, superuser: user, password } = postgres;
  return reached(new Client({ host, port, user, password, database }));
};
const through = (database: string, password = home.sign()): Promise<string> =>
  reached(new Client({ host: '127.0.0.1', port: running.port, user: '_', password, database }));

describe.each(NAMES)('%j', (name) => {
  test('is reached as directly, by a star and by an entry', async () => {
    expect(await directly(name)).toBe(name);
    expect(await through(name)).toBe(name);
    expect(await through(`by entry ${name.slice(0, 20)}`)).toBe(name);
  });

  test('may stand in the rules of a token', async () => {
    const token = (databases: readonly string[]): string => home.sign({ postern: { databases } });
    expect(await through(name, token([name]))).toBe(name);
    expect(await through(name, token([`${name.slice(0, 10)}_`]))).toBe('42501');
  });

  test('is named in the log and the audit trail as it is', async () => {
    await through(name);
    const logins = running.lines('login').filter(({ database }) => database === name);
    expect(logins.length).toBeGreaterThan(0);
    await expect
      .poll(() => auditLines(file).some((line) => JSON.stringify(line).includes(JSON.stringify(name))))
      .toBe(true);
  });

  test('is a label of metrics', async () => {
    const client = await running.client({ database: name });
    await client.query('select 1');
    const text = await (await fetch(`http://127.0.0.1:${running.adminPort}/metrics`)).text();
    await client.end();
    const label = name.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
    const labels = parsePrometheus(text).flatMap((sample) => Object.values(sample.labels));
    expect(labels).toContain(label);
  });

  test('is paused, resumed and listed, in the console and over HTTP', async () => {
    expect(await through(name)).toBe(name);
    const desk = await running.console();
    const path = `/v1/databases/${encodeURIComponent(name)}`;
    try {
      const { rows } = await desk.query<{ name: string }>('show databases');
      expect(rows.map((row) => row.name)).toContain(name);
      await desk.query(`pause ${quoted(name)}`);
      expect(await running.ask('GET', path)).toMatchObject({ status: 200, body: { name, paused: true } });
      await desk.query(`resume ${quoted(name)}`);
      expect(await through(name)).toBe(name);
      const paused = { status: 200, body: { name, paused: true } };
      expect(await running.ask('POST', `${path}/pause`)).toMatchObject(paused);
      expect(await running.ask('POST', `${path}/resume`)).toMatchObject({ body: { name, paused: false } });
      expect(await through(name)).toBe(name);
    } finally {
      await desk.query('resume').catch(() => {});
      await running.ask('POST', `${path}/resume`);
      await desk.end();
    }
  });
});

describe('names that PostgreSQL has in another way', () => {
  test.each([
    ['64 bytes, which PostgreSQL cuts', 'y'.repeat(64), 'y'.repeat(63)],
    ['64 bytes, which PostgreSQL cuts within a character', `${'z'.repeat(62)}ä`, '3D000'],
    ['with a control character', 'tab\there', 'tab\there'],
  ])('%s, are refused', async (_, name, is) => {
    await postgres.sql(`create database ${quoted(name)}`);
    expect(await directly(name)).toBe(is);
    expect(await through(name)).toBe('3D000');
  });

  test('says why, and a longer user name hints at _', async () => {
    const told = async (config: object): Promise<DatabaseError> => {
      const client = new Client({ host: '127.0.0.1', port: running.port, password: home.sign(), ...config });
      return client.connect().then(
        () => Promise.reject(new Error('it was let in')),
        (error: unknown) => error as DatabaseError,
      );
    };
    const long = `${'someone'.repeat(10)}@company.example`;
    expect(await told({ user: '_', database: long })).toMatchObject({
      code: '3D000',
      hint: 'Names have at most 63 bytes. PostgreSQL knows it by its first 63 bytes.',
    });
    expect(await told({ user: long, database: 'A B' })).toMatchObject({
      code: '28000',
      hint: 'Names have at most 63 bytes. Connect as user _ to get the role that the token names.',
    });
    expect((await told({ user: 'a\tb', database: 'A B' })).hint).toBeUndefined();
  });
});

test('what `postern sql roles` prints lets the roles into each of them, and into no other', async () => {
  const plugins = [{ name: 'maps', maps: ['reader'] }];
  const databases = Object.fromEntries(
    NAMES.map((name, number) => [`n${number}`, { ...at(), database: name }]),
  );
  const text = await rolesSql(checkConfig({ databases, plugins }, folder), {
    database: undefined,
    roles: [],
  });
  await postgres.sql(text);
  const lines = [...text.matchAll(/^-- {3}((?:local|host|hostssl) .*)$/gm)].map(([, line = '']) => line);
  const [row] = await postgres.sql('show hba_file');
  const path = String(row?.['hba_file']);
  const before = readFileSync(path, 'utf8');
  await postgres.sql('create database "xre(x)*"');
  writeFileSync(path, [...lines, before].join('\n'));
  expect(await postgres.sql('select error from pg_hba_file_rules where error is not null')).toEqual([]);
  await postgres.sql('select pg_reload_conf()');
  const { host, port, passwords } = postgres;
  const asReader = (database: string): Promise<string> =>
    reached(new Client({ host, port, user: 'reader', password: passwords.reader, database }));
  await expect.poll(() => asReader('postgres')).toBe('28000');
  for (const name of NAMES) expect(await asReader(name)).toBe(name);
  expect(await asReader('xre(x)*')).toBe('28000');
  writeFileSync(path, before);
  await postgres.sql('select pg_reload_conf()');
});

describeWith('psql', (psql) => {
  test.each(NAMES)('a connection string of `access` leads to %j', async (name) => {
    const response = await fetch(`http://127.0.0.1:${running.adminPort}/v1/grants`, {
      method: 'POST',
      headers: { authorization: `Bearer ${home.sign()}`, 'content-type': 'application/json' },
      body: JSON.stringify({ database: name, role: 'reader' }),
    });
    const grant = (await response.json()) as { uri: string; token: string; psql: string };
    expect(response.status, JSON.stringify(grant)).toBe(201);
    const here = grant.psql
      .replace('gateway.example:6432', `127.0.0.1:${running.port}`)
      .replace(' psql ', ` '${psql}' -XAtc '${CURRENT}' `);
    const env = { ...process.env, TOKEN: grant.token, PGCLIENTENCODING: 'UTF8' };
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', here], { env });
    expect(stdout).toBe(`${name}\n`);
  });
});

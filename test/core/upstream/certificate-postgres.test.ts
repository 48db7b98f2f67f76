/** What PostgreSQL with `hostssl … cert` says to the certificates of the gateway. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import { parseRole } from '../../../core/contract/names.ts';
import { loadAuthority } from '../../../core/upstream/certificate/authority.ts';
import { mint } from '../../../core/upstream/certificate/mint.ts';
import { credentialsOf } from '../../../core/upstream/credentials.ts';
import { makeAuthority } from '../../support/authorities.ts';
import type { MadeAuthority } from '../../support/authorities.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { describeWith } from '../../support/programs.ts';
import { SPOOFS } from '../../support/spoofs.ts';
import { causes, query, refusal, withConnection } from './support.ts';

const MINUTE_MS = 60_000;
/** Longest file that is searched for a key. */
const LARGEST_BYTES = 4_194_304;
const started = Date.now() - MINUTE_MS;
const folder = mkdtempSync(join(tmpdir(), 'postern-authority-'));
let authority: MadeAuthority;
let stranger: MadeAuthority;
let pems: Certificates;
let postgres: OwnPostgres;
const ROLES = ['reader', 'Writer', 'a.b@c', 'x+y', 'n$n', '_'];

beforeAll(async () => {
  authority = await makeAuthority(folder, 'authority');
  stranger = await makeAuthority(folder, 'stranger');
  pems = await certificates();
  const known = `${authority.cert}${pems.ca.cert}`;
  postgres = await startPostgres({
    ssl: { cert: pems.server.cert, key: pems.server.key, ca: known },
    hba: ['host all postgres 127.0.0.1/32 scram-sha-256', 'hostssl all all 127.0.0.1/32 cert clientname=CN'],
  });
  await postgres.sql(
    ROLES.slice(1)
      .map((role) => `create role "${role}" login`)
      .join('; '),
  );
  await postgres.sql('create role admin login; create role mighty login superuser');
});
afterAll(async () => {
  await postgres.stop();
  pems.remove();
  rmSync(folder, { recursive: true });
});

const entry = (by: MadeAuthority = authority, more: Partial<DatabaseOptions> = {}): DatabaseOptions => ({
  host: '127.0.0.1',
  port: postgres.port,
  tls: { ca: pems.ca.certFile },
  login: { kind: 'certificate', ...by.files },
  ...more,
});
const who = `select session_user, current_user,
    (select client_dn || ' ' || (client_serial > 0) from pg_stat_ssl where pid = pg_backend_pid())`;

test.each(ROLES)('%s logs in as itself', async (role) => {
  const rows = await withConnection(entry(), { role }, (connection) => query(connection, who));
  expect(rows).toEqual([[role, role, expect.stringMatching(/^\/CN=.* true$/)]]);
});

test.each(['require', 'verify-ca'] as const)('so it does in mode %s', async (mode) => {
  const tls = { mode, ca: pems.ca.certFile };
  const rows = await withConnection(entry(authority, { tls }), { role: 'reader' }, (connection) =>
    query(connection, who),
  );
  expect(rows[0]?.slice(0, 2)).toEqual(['reader', 'reader']);
});

test('a cancel reaches the session', async () => {
  await withConnection(entry(), { role: 'reader' }, async (connection) => {
    const sleeping = query(connection, 'select pg_sleep(30)');
    const refused = expect(sleeping).rejects.toThrow('57014');
    await expect
      .poll(
        async () => (await postgres.sql("select from pg_stat_activity where query ~ 'pg_sleep\\(30'")).length,
      )
      .toBeGreaterThan(0);
    expect(await connection.cancel()).toBe(true);
    await refused;
  });
});

test('an authority that the server does not know is refused', async () => {
  const before = postgres.log().length;
  const error = await refusal(entry(stranger), { role: 'reader' });
  expect(error.sqlstate).toBe('08004');
  expect(causes(error)).toContain('unknown ca');
  await expect.poll(() => postgres.log().slice(before)).toMatch(/certificate verify failed|unknown ca/i);
  expect(postgres.log().slice(before)).not.toContain('authorized');
});

test('an authority of the same name as a known one is refused', async () => {
  const twin = await makeAuthority(folder, 'twin');
  expect((await refusal(entry(twin), { role: 'reader' })).sqlstate).toBe('08004');
});

test('a role that does not exist, and one that is superuser, are refused', async () => {
  const missing = await refusal(entry(), { role: 'nobody' });
  expect(missing).toMatchObject({ sqlstate: '08004', message: "the database refused the gateway's login" });
  expect((await refusal(entry(), { role: 'mighty' })).sqlstate).toBe('42501');
});

test('an authority that has gone, or has expired, is 08004 with the reason for the operator only', async () => {
  const gone = await makeAuthority(folder, 'gone');
  rmSync(gone.files.key);
  const expired = await makeAuthority(folder, 'expired', { until: Date.now() - 1_000 });
  for (const [by, why] of [
    [gone, 'cannot read'],
    [expired, 'expired at'],
  ] as const) {
    const error = await refusal(entry(by), { role: 'reader' });
    const message = 'the gateway could not get its credentials for the database';
    expect(error).toMatchObject({ sqlstate: '08004', message });
    expect(causes(error)).toContain('databases.main.login gave no certificate');
    expect(causes(error)).toContain(why);
  }
});

test('a server that asks for a password instead does not get one', async () => {
  const error = await refusal(entry(), { role: 'postgres' });
  expect(error.sqlstate).toBe('08004');
  expect(causes(error)).toContain("asks for a password although login.kind is 'certificate'");
});

describeWith('psql', (psql) => {
  const current = (): { from: number; until: number } => ({
    from: Date.now() - MINUTE_MS,
    until: Date.now() + MINUTE_MS,
  });

  /** What libpq gets with a certificate of the gateway as `user`: who it is, or the error. */
  async function libpq(name: string, user: string, times = current()): Promise<string> {
    const { cert, key } = await mint(loadAuthority(authority.files), name, times);
    writeFileSync(join(folder, 'client.crt'), cert);
    writeFileSync(join(folder, 'client.key'), key, { mode: 0o600 });
    const quote = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;
    const words = [
      `host=127.0.0.1 port=${postgres.port} dbname=postgres sslmode=verify-full user=${quote(user)}`,
      `sslrootcert=${pems.ca.certFile} sslcert=${folder}/client.crt sslkey=${folder}/client.key`,
    ];
    const args = ['-XAtw', '-c', 'select session_user', words.join(' ')];
    const { stdout, stderr } = spawnSync(psql, args, { encoding: 'utf8' });
    return `${stdout}${stderr}`.trim();
  }

  test('takes the profile as any TLS library does', async () => {
    expect(await libpq('reader', 'reader')).toBe('reader');
  });

  test.each(SPOOFS)('a certificate for %j is never one of admin', async (name) => {
    expect(await libpq(name, 'admin')).toMatch(/certificate authentication failed for user "admin"/);
  });

  test('one that has expired, and one that is not valid yet, are refused', async () => {
    const now = Date.now();
    const expired = { from: now - 20 * MINUTE_MS, until: now - 2_000 };
    expect(await libpq('reader', 'reader', expired)).toMatch(/expired/);
    const early = { from: now + 10 * MINUTE_MS, until: now + 20 * MINUTE_MS };
    expect(await libpq('reader', 'reader', early)).not.toBe('reader');
  });
});

/** What `look` gives, or nothing: other tests remove what this one looks at, and not everything is ours to read. */
function orNothing<T>(look: () => readonly T[]): readonly T[] {
  try {
    return look();
  } catch {
    return [];
  }
}

/** Files below the folder that were written since then and contain one of the texts. */
function filesWith(texts: readonly string[], below: string, since: number): readonly string[] {
  const entries = orNothing(() => readdirSync(below, { withFileTypes: true }));
  return entries.flatMap((one) => {
    const path = join(below, one.name);
    if (one.isDirectory()) return filesWith(texts, path, since);
    return orNothing(() => {
      const { size, mtimeMs } = statSync(path);
      if (!one.isFile() || mtimeMs < since || size > LARGEST_BYTES) return [];
      const bytes = readFileSync(path, 'latin1');
      return texts.some((text) => bytes.includes(text)) ? [path] : [];
    });
  });
}

test('the private key is in no file', async () => {
  const { login } = entry();
  await withConnection(entry(), { role: 'reader' }, async () => {});
  const wanted = { entry: 'main', login, role: parseRole('reader'), database: 'postgres' };
  const { certificate } = await credentialsOf(wanted, new AbortController().signal);
  const body = certificate?.key.split('\n')[1] ?? 'no key';
  expect(body).toHaveLength(64);
  const raw = Buffer.from(certificate?.key.replace(/-----.*-----|\n/g, '') ?? '', 'base64');
  // Where the private number stands in its PKCS #8 form (RFC 5958, RFC 5915).
  const secret = raw.subarray(36, 68).toString('latin1');
  const canary = join(folder, 'canary');
  writeFileSync(canary, certificate?.key ?? '');
  expect(filesWith([body, secret], tmpdir(), started)).toEqual([canary]);
  rmSync(canary);
  expect(filesWith([body, secret], tmpdir(), started)).toEqual([]);
});

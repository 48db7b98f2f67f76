/** `postern init`, in an empty folder: what it writes is checked, runs, and has no secret in it. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { GatewayProcess, prepareCheckout } from '../../support/gateway-process.ts';
import { postern } from '../../support/command.ts';
import type { Ran } from '../../support/command.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { issuer } from '../../support/token.ts';

const ISSUER = 'https://id.example';
const folders: string[] = [];
let folder: string;

beforeAll(prepareCheckout, 120_000);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-init-'));
  folders.push(folder);
});
afterAll(() => {
  for (const one of folders) rmSync(one, { recursive: true });
});

const init = (...args: readonly string[]): Ran => postern(folder, ['init', ...args]);
const written = (name = 'gateway.config.ts'): string => readFileSync(join(folder, name), 'utf8');

test('a URL and an issuer are enough: a commented config, the SQL on standard output, the rest on standard error', () => {
  const { status, stdout, stderr } = init(
    'postgres://db.example:5433/orders',
    '--issuer',
    ISSUER,
    '--audience',
    'postern',
  );
  expect({ status }).toEqual({ status: 0 });
  expect(stdout).toContain('create role "app" login');
  expect(stdout).toContain('--   hostssl "orders" "app" 192.0.2.1/32 scram-sha-256');
  expect(stderr).toContain('gateway.config.ts is written and valid.');
  expect(stderr).toContain('APP_PASSWORD: the password of role app\n');
  const text = written();
  expect(text).toContain("host: 'db.example'");
  expect(text).toContain("tls: { mode: 'verify-full' }");
  expect(text).toContain("passwords: { app: env('APP_PASSWORD') }");
  expect(text).toContain(`jwt({ issuers: [{ issuer: '${ISSUER}', audience: 'postern' }] })`);
  expect(text.match(/^ *\/\/ /gm)?.length).toBeGreaterThan(5);
  expect(readdirSync(folder)).toEqual(['gateway.config.ts']);
  expect(postern(folder, ['check'], { APP_PASSWORD: 'x' }).status).toBe(0);
});

test('a password in the URL is nowhere: not in the file, nor in what is printed', () => {
  const ran = init('postgres://shop:s3cret%40x@db.example/orders?password=s3cret', '--issuer', ISSUER);
  expect(ran.status).toBe(0);
  expect(ran.stdout + ran.stderr + written()).not.toContain('s3cret');
  expect(ran.stderr).toContain('SHOP_PASSWORD: the password of role shop, which the URL has');
  expect(ran.stderr).toContain('The URL has a password, and ps shows command lines to others');
  const without = init('postgres://shop@db.example/orders', '--issuer', ISSUER, '--force');
  expect(without.status).toBe(0);
  expect(without.stderr).not.toContain('The URL has a password');
  for (const wrong of ['postgres://u:s3cret@h:s3cret/d', 'postgres://u:s3cret@h/d%zz', 's3cret']) {
    const refused = init(wrong, '--issuer', ISSUER, '--force');
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^postern: the URL has /);
    expect(refused.stderr).not.toContain('s3cret');
  }
});

test('what the URL has and the config cannot have is said, line by line, in both places', () => {
  const { stderr } = init(
    'postgres://postgres:s3cret@db.example/orders?sslmode=prefer&connect_timeout=3&application_name=shop&constructor=1',
    '--issuer',
    ISSUER,
  );
  for (const line of [
    'sslmode=prefer falls back to a connection without TLS, which the gateway never does',
    'connect_timeout: a connection is given up after 5 seconds',
    'constructor: has no equivalent',
  ]) {
    expect(stderr).toContain(`Not taken over as it is: ${line}`);
    expect(written()).toContain(`// ${line}`);
  }
  expect(stderr).toContain(
    'The user of the URL, postgres, is commonly a superuser, which the gateway does not log in as, and neither is its password',
  );
  expect(written()).toContain("startup: { default: { application_name: 'shop' } }");
});

test.each([
  [
    'several hosts',
    ['postgres://a,b:5433,c/d?target_session_attrs=any'],
    /host: \['a', \{ host: 'b', port: 5433 \}, 'c'\],[^]*target: 'any'/,
  ],
  ['a primary among several', ['postgres://a,b/d'], /target: 'primary'/],
  [
    'a unix socket',
    ['postgres:///d?host=/run/pg&port=5433&sslmode=require'],
    /host: '\/run\/pg',\n +port: 5433,\n +\/\/[^\n]*\n +login/,
  ],
  ['no host at all', ['postgres:///d'], /host: '\/var\/run\/postgresql'/],
  ['IPv6', ['postgres://[2001:db8::1]:5433/d'], /host: '2001:db8::1',\n +port: 5433/],
  ['trust', ['postgres:///d', '--login', 'trust'], /login: \{ kind: 'trust' \}/],
  ['a mode of TLS', ['postgres://h/d', '--tls', 'require'], /tls: \{ mode: 'require' \}/],
  ['flags alone', ['--host', 'h:5433', '--database', 'd'], /d: \{\n +host: 'h',\n +port: 5433/],
  [
    'roles',
    ['postgres://h/d', '--role', 'reader', '--role', 'Weird-One'],
    /reader: env\('READER_PASSWORD'\), 'Weird-One': env\('WEIRD_ONE_PASSWORD'\)/,
  ],
  ['a claim', ['postgres://h/d', '--claim', 'groups'], /roles\(\{ claim: 'groups', allow: \['app'\] \}\)/],
  ['a listener', ['postgres://h/d', '--listen', '[::]:7000'], /listen: \{ host: '::', port: 7000 \}/],
  [
    'a port to listen on',
    ['postgres://h/d', '--listen', '7000'],
    /listen: \{ host: '127\.0\.0\.1', port: 7000 \}/,
  ],
])('%s', (_, args, expected) => {
  expect(init(...args, '--issuer', ISSUER)).toMatchObject({ status: 0 });
  expect(written()).toMatch(expected);
});

test.each([
  ['no issuer', ['postgres://h/d'], '--issuer is needed'],
  ['an issuer over plain HTTP', ['postgres://h/d', '--issuer', 'http://id.example'], 'jwt.issuers[0]'],
  ['no URL', ['--issuer', ISSUER], 'no server is named'],
  ['no database', ['postgres://h', '--issuer', ISSUER], 'no database is named'],
  [
    'no such mode',
    ['postgres://h/d', '--issuer', ISSUER, '--tls', 'prefer'],
    '--tls: one of disable, require, verify-ca, verify-full',
  ],
  ['no such authorities', ['postgres://h/d', '--issuer', ISSUER, '--ca', 'none.pem'], 'databases.d.tls.ca'],
  ['a role that is none', ['postgres://h/d', '--issuer', ISSUER, '--role', 'pg_read'], 'reserved'],
  ['no port', ['postgres://h/d', '--issuer', ISSUER, '--listen', 'x:y'], '--listen: y is not a port'],
  [
    'no folder',
    ['postgres://h/d', '--issuer', ISSUER, '--config', 'no/such/gateway.ts'],
    'cannot be written: ENOENT',
  ],
])('%s is refused in one sentence, and nothing is left in the folder', (_, args, reason) => {
  const { status, stdout, stderr } = init(...args);
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toContain(reason);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(readdirSync(folder)).toEqual([]);
});

describe('a file that is there', () => {
  test('stays, unless --force says otherwise, and then only for a config that is valid', () => {
    writeFileSync(join(folder, 'gateway.config.ts'), 'mine');
    const line = ['postgres://h/d', '--issuer', ISSUER] as const;
    expect(init(...line)).toMatchObject({ status: 1, stdout: '' });
    expect(init(...line).stderr).toContain(
      'gateway.config.ts is there already: name another file by --config',
    );
    expect(init(...line, '--role', 'public', '--force').status).toBe(1);
    expect(written()).toBe('mine');
    expect(init(...line, '--config', 'other.config.ts').status).toBe(0);
    expect(written()).toBe('mine');
    expect(init(...line, '--force').status).toBe(0);
    expect(written()).toContain('defineConfig');
    expect(readdirSync(folder).sort()).toEqual(['gateway.config.ts', 'other.config.ts']);
  });
});

test('what it writes runs: the SQL, then the start, then a login with a token as the role that was made', async () => {
  const postgres = sharedPostgres();
  const { host, port } = postgres;
  const database = await freshDatabase();
  const role = `of_${database}`;
  const tokens = issuer();
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify(tokens.jwks));
  const line = [`postgres://${role}:Pa55word@${host}:${port}/${database}`, '--issuer', tokens.issuer];
  const { status, stdout } = init(...line, '--jwks', 'jwks.json', '--listen', '0');
  expect(status).toBe(0);
  await postgres.sql(stdout.replace(/^--.*$/gm, ''), database);
  await postgres.sql(`alter role "${role}" password 'Pa55word'`);
  const variable = `${role.toUpperCase()}_PASSWORD`;
  const gateway = await GatewayProcess.start({
    config: written(),
    files: { 'jwks.json': JSON.stringify(tokens.jwks) },
    env: { [variable]: 'Pa55word' },
  });
  try {
    const client = new Client({
      host: '127.0.0.1',
      port: gateway.port,
      user: '_',
      password: tokens.sign({ role }),
      database,
    });
    await client.connect();
    const { rows } = await client.query(
      'select session_user::text as role, current_database()::text as name',
    );
    expect(rows).toEqual([{ role, name: database }]);
    await client.end();
    gateway.signal('SIGTERM');
    expect(await gateway.ended()).toBe(0);
  } finally {
    await gateway.remove();
    await postgres.sql(`revoke connect on database "${database}" from "${role}"; drop role "${role}"`);
  }
});

/** The audit of sessions before a real PostgreSQL: what is written down, by whom it was, and what never is. */
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { AnyPlugin, GatewayConfig } from '../../core/index.ts';
import { audit } from '../../plugins/audit/index.ts';
import type { AuditOptions } from '../../plugins/audit/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { operations } from '../../plugins/operations/index.ts';
import { verifyFiles } from '../../plugins/audit/verify.ts';
import { roles } from '../../plugins/roles/index.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';
import { auditFolder, linesIn } from './audit-lines.ts';
import type { AuditLine } from './audit-lines.ts';

const keys = issuer({ algorithms: ['ES256'] });
const server = sharedPostgres();
let database: string;
let file: string;
let running: RunningGateway;

beforeAll(async () => {
  database = await freshDatabase();
  await server.sql('create table t (n int, s text); grant all on t to writer', database);
  const deferred = 'create table d (n int unique deferrable initially deferred); grant all on d to writer';
  await server.sql(deferred, database);
});
afterEach(() => running.gateway.stop());

function configOf(
  options: Partial<AuditOptions>,
  pool: object = {},
): GatewayConfig & { listen: { port: number } } {
  const plugins: readonly AnyPlugin[] = [
    audit({ sink: { file }, ...options }),
    operations(),
    jwt({ issuers: [keys.options] }),
    roles({ claim: 'role', allow: ['reader', 'writer'] }),
  ];
  const databases = { orders: databaseOf(server, { database, pool }) };
  const admin = { port: 0, operators: { claim: 'groups', value: 'dba' } };
  return { listen: { port: 0 }, databases, plugins, admin };
}

async function start(options: Partial<AuditOptions> = {}, pool: object = {}): Promise<void> {
  file = join(await auditFolder(), 'audit.jsonl');
  running = await startGateway(configOf(options, pool));
}

async function login(claims: object = {}, more: object = {}): Promise<Client> {
  const password = keys.sign({ sub: 'ada', role: 'writer', jti: 'one', ...claims });
  const client = new Client({
    host: '127.0.0.1',
    port: running.port,
    user: '_',
    database: 'orders',
    password,
    ...more,
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Lines of a type, without what differs from run to run, once there are as many. */
async function lines(type: string, count: number): Promise<AuditLine[]> {
  const found = (): AuditLine[] => linesIn(file).filter((line) => line['type'] === type);
  await expect.poll(() => found().length).toBeGreaterThanOrEqual(count);
  return found();
}

async function ask(method: string, path: string, body?: object): Promise<Response> {
  const authorization = `Bearer ${keys.sign({ sub: 'olga', groups: ['dba'], role: undefined })}`;
  const init = { method, headers: { authorization }, ...(body && { body: JSON.stringify(body) }) };
  return fetch(`http://127.0.0.1:${running.adminPort}${path}`, init);
}

test('a session is in it from login to logout, with the person, and its statements without their data', async () => {
  await start();
  const client = await login();
  await client.query("insert into t values (1, 'canary-data'), (2, 'x') -- canary-comment");
  await client.query({
    name: 'find',
    text: 'select n from t where s = $1 and n > 0',
    values: ['canary-parameter'],
  });
  await client.query({ name: 'find', text: 'select n from t where s = $1 and n > 0', values: ['x'] });
  await expect(client.query('select 1 / 0')).rejects.toThrow('division');
  await expect(client.query('nonsense 4711', ['x'])).rejects.toThrow('syntax');
  await client.end();
  await lines('logout', 1);
  const all = linesIn(file);
  expect(all.map(({ type }) => type)).toEqual(['opened', 'login', ...Array(5).fill('statement'), 'logout']);
  const [, opened, ...statements] = all;
  const who = {
    issuer: keys.issuer,
    subject: 'ada',
    tokenId: 'one',
    role: 'writer',
    database: 'orders',
    user: '_',
    server: { entry: 'orders', database },
    address: '127.0.0.1',
    listener: 'default',
    tls: false,
  };
  expect(opened).toMatchObject(who);
  const [insert, find, again, broken, nonsense, logout] = statements;
  expect(insert).toMatchObject({
    ...who,
    session: opened?.['session'],
    kind: 'query',
    sql: 'insert into t values (?, ?), (?, ?)',
    tags: ['INSERT 0 2'],
    rows: 2,
  });
  const text = 'select n from t where s = $1 and n > ?';
  expect(find).toMatchObject({ kind: 'execute', sql: text, rows: 0 });
  expect(again).toMatchObject({ kind: 'execute', sql: text, rows: 1, tags: ['SELECT 1'] });
  expect(broken).toMatchObject({ kind: 'query', sql: 'select ? / ?', sqlstate: '22012' });
  expect(nonsense).toMatchObject({ kind: 'parse', sql: 'nonsense ?', sqlstate: '42601' });
  expect(logout).toMatchObject({ ...who, end: 'client' });
  expect(readFileSync(file, 'utf8')).not.toMatch(/canary|4711|eyJ/);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test('what a Sync cannot commit is not told as success alone, in either pool mode', async () => {
  for (const mode of ['session', 'transaction'] as const) {
    await start({}, { mode });
    const client = await login();
    const twice = 'insert into d values ($1), ($1)';
    await expect(client.query(twice, [1])).rejects.toMatchObject({ code: '23505' });
    await client.query(twice.replace(', ($1)', ''), [1]);
    await client.query('delete from d');
    await client.end();
    await lines('logout', 1);
    const [insert, sync, ...rest] = await lines('statement', 4);
    expect(insert).toMatchObject({ kind: 'execute', tags: ['INSERT 0 2'] });
    expect(insert).not.toHaveProperty('sqlstate');
    expect(sync).toMatchObject({ kind: 'sync', sqlstate: '23505', sql: insert?.['sql'], id: insert?.['id'] });
    expect(rest.map(({ kind, sqlstate }) => [kind, sqlstate])).toEqual([
      ['execute', undefined],
      ['query', undefined],
    ]);
    await running.gateway.stop();
  }
});

test('texts may be whole, with parameters, or left out', async () => {
  await start({ statements: 'whole', parameters: true });
  const client = await login();
  await client.query("select 'data'");
  await client.query(`/* in front */ select '${keys.sign({ sub: 'ada' })}'`);
  const values = ['ä\n\u202e', null, Buffer.from([0, 255])];
  await client.query('select $1::text, $2::int, $3::bytea', values);
  await client.query('select $1::text', [keys.sign({ sub: 'ada' })]);
  await client.query('select 2', []);
  await client.end();
  const [one, token, two, bound, three] = await lines('statement', 5);
  expect(one?.['sql']).toBe("select 'data'");
  expect(token?.['sql']).toBe("/* in front */ select '?'");
  expect(bound?.['parameters']).toEqual(['?']);
  expect(two?.['parameters']).toEqual(['ä\n\u202e', null, String.raw`\x00ff`]);
  expect(three).not.toHaveProperty('parameters');
  // Nothing in a line that a terminal would obey.
  expect(readFileSync(file, 'utf8')).not.toContain('\u202e');
  await running.gateway.stop();

  await start({ statements: 'none' });
  const other = await login();
  await other.query("select 'data'");
  await other.end();
  const [without] = await lines('statement', 1);
  expect(without).not.toHaveProperty('sql');
});

test('who is refused is in it, with the reason that the client is not told', async () => {
  await start();
  const good = { sub: 'ada', role: 'writer' };
  const bad = issuer({ algorithms: ['ES256'] }).sign(good);
  await expect(login({}, { password: bad })).rejects.toThrow('password authentication failed');
  await expect(login({ role: 'superuser' })).rejects.toThrow();
  const stranger = connect(running.port, '127.0.0.1').resume();
  stranger.end(Buffer.from([0, 0, 0, 8, 0, 1, 2, 3]));
  await once(stranger, 'close');
  const [unknown, unmapped] = await lines('login', 2);
  expect(unknown).toMatchObject({ sqlstate: '28P01', user: '_', database: 'orders', address: '127.0.0.1' });
  expect(unknown).not.toHaveProperty('subject');
  expect(String(unknown?.['reason'])).not.toBe('');
  expect(unmapped).toMatchObject({ sqlstate: '28000', subject: 'ada' });
  expect(unmapped).not.toHaveProperty('role');
  const [refusal] = await lines('refusal', 1);
  expect(refusal).toMatchObject({ address: '127.0.0.1', listener: 'default' });
  expect(linesIn(file).filter(({ type }) => type === 'logout')).toEqual([]);
});

test('who leaves before the login is over has a login that failed, and no logout', async () => {
  await start();
  const half = connect(running.port, '127.0.0.1');
  const body = Buffer.from('\0\x03\0\0user\0ada\0database\0orders\0\0', 'latin1');
  half.write(Buffer.concat([Buffer.from([0, 0, 0, body.length + 4]), body]));
  // The server's word is the request for the password.
  await once(half, 'data');
  half.destroy();
  const [only] = await lines('login', 1);
  expect(only).toMatchObject({ user: 'ada', database: 'orders', sqlstate: '08006' });
  await running.gateway.stop();
  expect(linesIn(file).map(({ type }) => type)).toEqual(['opened', 'login', 'closed']);
});

test('renewals, revocations and the orders of operators are in it, with who gave them', async () => {
  await start();
  const client = await login();
  const ended = new Promise((resolve) => client.once('end', resolve));
  await client.query(`set postern.token = '${keys.sign({ sub: 'ada', role: 'writer', jti: 'two' })}'`);
  await expect(
    client.query(`set postern.token = '${keys.sign({ sub: 'eve', role: 'writer' })}'`),
  ).rejects.toMatchObject({ code: '28000' });
  const added = await ask('POST', '/v1/revocations', { issuer: keys.issuer, subject: 'ada' });
  const { id } = (await added.json()) as { id: string };
  await ended;
  await ask('DELETE', `/v1/revocations?id=${id}`);
  await ask('POST', '/v1/databases/orders/reconnect');
  const operators = await lines('operator', 1);
  const by = { issuer: keys.issuer, subject: 'olga' };
  expect(operators).toMatchObject([{ by, via: 'http', verb: 'RECONNECT', target: { database: 'orders' } }]);
  const what = { issuer: keys.issuer, subject: 'ada' };
  expect(await lines('revocation', 2)).toMatchObject([
    { by, id, what, takenBack: false, sessions: 1 },
    { by, id, what, takenBack: true, sessions: 0 },
  ]);
  const [fine, refused] = await lines('renewal', 2);
  expect(fine).toMatchObject({ subject: 'ada', tokenId: 'two' });
  expect(fine).not.toHaveProperty('sqlstate');
  expect(refused).toMatchObject({ subject: 'ada', tokenId: 'two', sqlstate: '28000' });
  expect(await lines('logout', 1)).toMatchObject([{ end: 'ended', sqlstate: '57P01' }]);
  expect(readFileSync(file, 'utf8')).not.toContain('eyJ');
});

test('a reload goes on in the same file, for those who came before it as well, and changes no key', async () => {
  await start();
  const { gateway } = running;
  const reload = (options: Partial<AuditOptions>): Promise<void> =>
    gateway.reload(checkConfig(configOf(options), tmpdir()));
  const before = await login();
  await reload({ statements: 'whole' });
  const after = await login({ sub: 'bob' });
  await before.query("select 'before'");
  await after.query("select 'after'");
  await expect(reload({ key: 'k'.repeat(32) })).rejects.toThrow('a change of them needs a restart');
  await before.end();
  await after.query("select 'still'");
  await after.end();
  await lines('logout', 2);
  await gateway.stop();
  const all = linesIn(file);
  expect(all.filter(({ type }) => type === 'statement').map(({ subject, sql }) => [subject, sql])).toEqual([
    ['ada', 'select ?'],
    ['bob', "select 'after'"],
    ['bob', "select 'still'"],
  ]);
  expect(all.filter(({ type }) => type === 'opened')).toHaveLength(1);
  expect(all.at(-1)).toMatchObject({ type: 'closed', why: 'stop' });
  expect(await verifyFiles([file])).toMatchObject({ findings: [], lines: all.length, closed: true });
});

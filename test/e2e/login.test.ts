import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client, DatabaseError } from 'pg';
import postgresJs from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { badTokens } from '../support/bad-tokens.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { countingProxy } from '../support/counting-proxy.ts';
import type { CountingProxy } from '../support/counting-proxy.ts';
import { databaseOf, logIn, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { issuer } from '../support/token.ts';

const run = promisify(execFile);
const good = issuer();
let postgres: Postgres;
let proxy: CountingProxy;
let files: Certificates;
let running: RunningGateway;

beforeAll(async () => {
  postgres = sharedPostgres();
  proxy = await countingProxy(postgres);
  files = await certificates();
  running = await startGateway({
    listen: { port: 0, tls: { cert: files.server.certFile, key: files.server.keyFile } },
    databases: { orders: databaseOf(postgres, { host: proxy.host, port: proxy.port }) },
    plugins: [jwt({ issuers: [good.options] }), roles({ claim: 'role', allow: ['reader', 'writer'] })],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  proxy.close();
  files.remove();
});

const WHO = 'select session_user::text as session_user, current_user::text as current_user';
const READER = { session_user: 'reader', current_user: 'reader' };

function address(user = '_'): {
  host: string;
  port: number;
  user: string;
  database: string;
  password: string;
} {
  return { host: '127.0.0.1', port: running.port, user, database: 'orders', password: good.sign() };
}

/** The SQLSTATE with which a login ends. */
async function refusal(password: string, user = '_'): Promise<string | undefined> {
  const client = await RawClient.connect(running.port);
  const outcome = await logIn(client, { user }, { token: password }).catch((error: Error) => error.message);
  client.destroy();
  return typeof outcome === 'string' ? /"C":"(\w+)"/.exec(outcome)?.[1] : 'logged in';
}

test('node-postgres logs in with a token and is the mapped role, plain and over TLS', async () => {
  for (const ssl of [false, { ca: files.ca.cert, servername: 'localhost' }]) {
    const client = new Client({ ...address(), ssl });
    await client.connect();
    expect((await client.query(WHO)).rows).toEqual([READER]);
    await client.end();
  }
});

test('postgres.js logs in with a token and is the mapped role', async () => {
  const sql = postgresJs({ ...address('writer'), password: good.sign({ role: 'writer' }), max: 1 });
  expect([...(await sql.unsafe(WHO))]).toEqual([{ session_user: 'writer', current_user: 'writer' }]);
  await sql.end();
});

describeWith('psql', (psql) => {
  test.each(['disable', 'prefer', 'require', 'verify-full'])(
    'psql logs in with sslmode=%s',
    async (sslmode) => {
      const { stdout } = await run(psql, ['-XAtc', `${WHO}; ${WHO}`, '-d', 'dbname=orders'], {
        env: {
          ...process.env,
          PGHOST: 'localhost',
          PGHOSTADDR: '127.0.0.1',
          PGPORT: String(running.port),
          PGUSER: '_',
          PGPASSWORD: good.sign(),
          PGSSLMODE: sslmode,
          PGSSLROOTCERT: files.ca.certFile,
        },
      });
      expect(stdout.trim().split('\n')).toEqual(['reader|reader', 'reader|reader']);
    },
  );
});

test('no bad token opens a session, and PostgreSQL sees no connection for any of them', async () => {
  const before = proxy.count();
  const wrong: string[] = [];
  for (const { name, token } of badTokens(good)) {
    const state = await refusal(token);
    if (state !== '28P01' && state !== '28000') wrong.push(`${name}: ${state}`);
  }
  expect(wrong).toEqual([]);
  expect(proxy.count()).toBe(before);
  expect(await refusal(good.sign())).toBe('logged in');
  // Good ones have been seen to open connections.
  expect(before).toBeGreaterThan(0);
});

test('a role that is not on the list is refused after a good token, and so is another user name', async () => {
  expect(await refusal(good.sign({ role: 'postgres' }))).toBe('28000');
  expect(await refusal(good.sign({ role: 'writer' }), 'reader')).toBe('28000');
  expect(await refusal(good.sign(), 'postgres')).toBe('28000');
});

describe('a client cannot leave its role', () => {
  test.each([
    'set role none',
    'reset role',
    'reset session authorization',
    'set session authorization postgres',
    'set session authorization writer',
    'set role postgres',
    'set role writer',
    "select set_config('role', 'none', false)",
    "select set_config('role', 'writer', false)",
    "select set_config('session_authorization', 'postgres', false)",
    "do $$ begin perform set_config('role', 'none', false); end $$",
    'discard all',
    'reset all',
    'begin; set local role none; commit',
  ])('%s', async (sql) => {
    const client = new Client(address());
    await client.connect();
    await client.query(sql).catch((error: unknown) => {
      if (!(error instanceof DatabaseError)) throw error;
    });
    expect((await client.query(WHO)).rows).toEqual([READER]);
    await client.end();
  });
});

test('the log names who came, and has no token in it', async () => {
  const token = good.sign({ sub: 'carol' });
  const client = new Client({ ...address(), password: token });
  await client.connect();
  await client.end();
  await expect
    .poll(() => running.lines('close').at(-1))
    .toMatchObject({ subject: 'carol', reason: 'client' });
  expect(running.lines('login').at(-1)).toMatchObject({
    subject: 'carol',
    issuer: good.issuer,
    role: 'reader',
  });
  const [, payload = '', signature = ''] = token.split('.');
  expect(running.text()).not.toContain(payload);
  expect(running.text()).not.toContain(signature);
});

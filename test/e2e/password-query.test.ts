/** Passwords that PostgreSQL keeps: a function is asked, and roles log in through the gateway with the passwords they have there. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError } from '../../core/index.ts';
import type { PoolOptions } from '../../core/index.ts';
import { passwords } from '../../plugins/passwords/index.ts';
import type { PasswordQueryOptions } from '../../plugins/passwords/index.ts';
import { SETUP } from '../../plugins/passwords/setup-sql.ts';
import { roles } from '../../plugins/roles/index.ts';
import { databaseOf, linesOfEach, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { program } from '../support/programs.ts';

const ASKS = 'canary-of-the-role-that-asks';
const ROLES = ['app', 'ends', 'ended', 'endless', 'old', 'closed', 'postgres', 'replicates', 'reader'];

let postgres: OwnPostgres;
let running: RunningGateway | undefined;

/** As an operator does it: from a file, with the password in the environment. */
async function run(sql: string): Promise<void> {
  const psql = program('psql');
  if (psql === undefined) throw new Error('psql is needed');
  const done = promisify(execFile)(psql, ['-X', '-v', 'ON_ERROR_STOP=1', postgres.url()], {
    env: { ...process.env, POSTERN_PASSWORDS_PASSWORD: ASKS },
  });
  done.child.stdin?.end(sql);
  await done;
}

beforeAll(async () => {
  postgres = await startPostgres();
  await run(`${SETUP}${SETUP}`);
  await postgres.sql(
    `create role app login password 'canary-app'; create role closed password 'canary-app';
     create role replicates login replication password 'canary-app';
     create role ends login password 'canary-app' valid until '2999-01-01 00:00:00+00';
     create role ended login password 'canary-app' valid until '2020-01-01 00:00:00+00';
     create role endless login password 'canary-app' valid until 'infinity';
     create role empty login;
     create role old login password 'md50123456789abcdef0123456789abcdef'`,
  );
});
afterEach(async () => {
  await running?.gateway.stop();
  running = undefined;
});
afterAll(() => postgres.stop());

const query: PasswordQueryOptions = { database: 'orders', role: 'postern_passwords' };

async function gateway(
  more: Partial<PasswordQueryOptions> = {},
  pool: PoolOptions = {},
): Promise<RunningGateway> {
  const known = {
    ...postgres.passwords,
    postern_passwords: ASKS,
    app: 'canary-app',
    ends: 'canary-app',
    endless: 'canary-app',
  };
  running = await startGateway({
    listen: { port: 0, auth: 'scram' },
    databases: {
      orders: databaseOf(postgres, {
        login: { kind: 'password', passwords: known },
        pool: { idleTimeout: '100ms', ...pool },
      }),
    },
    plugins: [
      passwords({ query: { ...query, ...more } }),
      roles({ issuer: 'password:', claim: 'sub', allow: ROLES }),
    ],
  });
  return running;
}

/** Logs in, asks who the server says it is, and leaves; or the SQLSTATE. */
async function logIn({ port }: RunningGateway, user: string, password = 'canary-app'): Promise<unknown> {
  const client = new Client({ host: '127.0.0.1', port, user, password, database: 'orders' });
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.query<{ session_user: string }>('select session_user')).rows[0]?.session_user;
  } catch (error) {
    return (error as { code?: string }).code;
  } finally {
    await client.end().catch(() => {});
  }
}

async function connections(): Promise<number> {
  const [row] = await postgres.sql(
    "select count(*)::int as n from pg_stat_activity where usename = 'postern_passwords'",
  );
  return Number(row?.['n']);
}

describe('a role', () => {
  test('logs in with the password that it has on the server, until that ends', async () => {
    const at = await gateway();
    for (const role of ['app', 'ends', 'endless']) expect(await logIn(at, role)).toBe(role);
    expect(await logIn(at, 'app', 'canary-other')).toBe('28P01');
    expect(await logIn(at, 'ended')).toBe('28000');
    expect(await logIn(at, 'ended', 'canary-other')).toBe('28P01');
    expect(at.lines('a password is still in use').map(({ user, until }) => [user, until])).toEqual([
      ['app', undefined],
      ['ends', '2999-01-01T00:00:00.000Z'],
      ['endless', undefined],
    ]);
  });

  test.each(['postgres', 'replicates', 'closed', 'empty', 'old', 'nobody', `' or true --`, 'ü"; --', ''])(
    '%j has no password here, and reads what all others read',
    async (user) => {
      const at = await gateway();
      const password = user === 'postgres' ? postgres.password : 'canary-app';
      if (user !== '') expect(await logIn(at, user, password)).toBe('28P01');
      if (user === 'old')
        expect(at.lines('the password of a user is no SCRAM verifier: it cannot be used')).toHaveLength(1);
    },
  );

  test('is asked for on a connection that no pool has, and that is gone with the gateway', async () => {
    const at = await gateway({}, { size: 1, queueTimeout: '3s' });
    const holder = new Client({
      host: '127.0.0.1',
      port: at.port,
      user: 'app',
      password: 'canary-app',
      database: 'orders',
    });
    holder.on('error', () => {});
    await holder.connect();
    // The only connection of the pool is lent: whoever proves nothing is told so all the same.
    expect(await logIn(at, 'ends', 'canary-other')).toBe('28P01');
    expect(await logIn(at, 'ends')).toBe('53300');
    await holder.end();
    // Each worker that has asked has one.
    expect(await connections()).toBe(workersOf());
    await at.gateway.stop();
    running = undefined;
    await expect.poll(connections).toBe(0);
  });
});

describe('a database that cannot be asked', () => {
  test('is told at boot where the config has none of this name', async () => {
    const refused = gateway({ database: 'other' });
    await expect(refused).rejects.toThrow(ConfigError);
    await expect(refused).rejects.toThrow('passwords.query.database: database "other" does not exist');
  });

  test.each([
    ['as its role is a superuser', { role: 'postgres' }],
    ['as there is no such function', { function: 'postern.other' }],
    ['as the role may not call it', { role: 'reader' }],
  ])('%s, is told in the log at boot, and lets nobody in', async (_, more) => {
    const at = await gateway(more);
    expect(linesOfEach(at, 'passwords cannot be asked for: see postern sql passwords')).toHaveLength(1);
    expect(await logIn(at, 'app')).toBe('57P03');
    expect(await logIn(at, 'nobody')).toBe('57P03');
  });

  test('for a while lets people in when it is back', async () => {
    const at = await gateway();
    postgres.kill('SIGINT');
    await postgres.ended();
    expect(await logIn(at, 'app')).toBe('57P03');
    // In the line of the login, which is limited for strangers, and nowhere else.
    expect(at.lines('passwords cannot be asked for')).toEqual([]);
    expect(at.lines('login refused')).toMatchObject([{ reason: expect.stringContaining('ECONNREFUSED') }]);
    await postgres.restart();
    await expect.poll(() => logIn(at, 'app')).toBe('app');
  });
});

test.each([
  ['the schema', 'create schema postern'],
  [
    'the function',
    'reset role; create schema postern; grant create on schema postern to early; set role early',
  ],
])('the SQL is refused where somebody was there before, who owns %s', async (what, first) => {
  const own = `create function postern.password_of(name text) returns table (verifier text, valid_until timestamptz)
    language sql as 'select null, null::timestamptz'`;
  const made = `set role early; ${first}; ${what === 'the function' ? own : 'select 1'}; reset role;`;
  const refused = run(
    `create database taken;\ncreate role early;\ngrant create on database taken to early;\n\\c taken\n${made}\n${SETUP}`,
  );
  await expect(refused).rejects.toThrow('has an owner who is no superuser');
  await postgres.sql('drop database taken');
  await postgres.sql('drop role early');
});

test('no log line has a password or a verifier', async () => {
  const at = await gateway();
  await logIn(at, 'app');
  await logIn(at, 'app', 'canary-other');
  await logIn(at, 'old');
  expect(at.text()).not.toMatch(/canary|SCRAM-SHA|md5/);
});

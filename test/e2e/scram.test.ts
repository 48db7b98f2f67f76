/** Passwords through the gateway: psql, node-postgres and others log in by SCRAM as they do at PostgreSQL. */
import { execFile } from 'node:child_process';
import { chmodSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { passwords } from '../../plugins/passwords/index.ts';
import { rateLimit } from '../../plugins/rate-limit/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';

const PASSWORDS = {
  reader: 'canary-one',
  writer: 'canary ﬁ two Ⅸ ü',
  'quo"ted ü': 'canary "three"',
} as const;
const MAP = { reader: 'reader', writer: 'writer', 'quo"ted ü': 'reader' };

let files: Certificates;
let running: RunningGateway;
let list: string;

function write(users: Readonly<Record<string, string>>): void {
  const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
  const text = Object.entries(users).map(([name, password]) => `${quoted(name)} ${quoted(password)}\n`);
  writeFileSync(`${list}.new`, text.join(''), { mode: 0o600 });
  chmodSync(`${list}.new`, 0o600);
  renameSync(`${list}.new`, list);
}

beforeAll(async () => {
  files = await certificates();
  list = join(files.folder, 'userlist.txt');
  write(PASSWORDS);
  const pair = ({ certFile, keyFile }: Certificates['server']) => ({ cert: certFile, key: keyFile });
  running = await startGateway({
    listen: {
      port: 0,
      tls: { ...pair(files.server), servernames: { 'other.example': pair(files.other) } },
      auth: 'scram',
    },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [passwords({ file: list }), roles({ issuer: 'password:', claim: 'sub', map: MAP })],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  files.remove();
});

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function clientOf(user: string, password: string | undefined, more: object = {}): Client {
  const client = new Client({
    host: '127.0.0.1',
    port: running.port,
    user,
    database: 'orders',
    ...(password !== undefined && { password }),
    ...more,
  });
  client.on('error', () => {});
  return client;
}

/** Who the server says it is, or the error. */
async function logIn(user: string, password: string | undefined, more: object = {}): Promise<unknown> {
  const client = clientOf(user, password, more);
  try {
    await client.connect();
    const { rows } = await client.query<{ role: string }>('select session_user as role');
    return rows[0]?.role;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return code === undefined ? message : `${code} ${message}`;
  } finally {
    await client.end().catch(() => {});
  }
}

const refused = (user: string): string => `28P01 password authentication failed for user "${user}"`;

describe('node-postgres', () => {
  test('logs in with its password, whatever letters are in it', async () => {
    for (const [user, password] of Object.entries(PASSWORDS))
      expect(await logIn(user, password)).toBe(MAP[user as keyof typeof MAP]);
  });

  test('logs in bound to our certificate', async () => {
    const ssl = { ca: files.ca.cert, servername: 'localhost' };
    expect(await logIn('reader', PASSWORDS.reader, { ssl, enableChannelBinding: true })).toBe('reader');
  });

  test('is refused with another password, and as a user that there is not', async () => {
    expect(await logIn('reader', 'canary-two')).toBe(refused('reader'));
    expect(await logIn('nobody', 'canary-one')).toBe(refused('nobody'));
    expect(await logIn('no"body ü', 'canary-one')).toBe(refused('no"body ü'));
  });

  test('logs in while the list is replaced again and again', async () => {
    let times = 0;
    const replacing = setInterval(() => write({ ...PASSWORDS, [`other${(times += 1)}`]: 'x' }), 100);
    const outcomes = new Set<unknown>();
    const end = Date.now() + 3_500;
    while (Date.now() < end) outcomes.add(await logIn('reader', PASSWORDS.reader));
    clearInterval(replacing);
    expect(times).toBeGreaterThan(10);
    expect([...outcomes]).toEqual(['reader']);
  });
});

describeWith('psql', (psql) => {
  function ask(
    conninfo: string,
    password: string | undefined,
    env: NodeJS.ProcessEnv = {},
  ): Promise<Outcome> {
    const { PGPASSWORD: _, ...others } = process.env;
    const options = { env: { ...others, ...(password !== undefined && { PGPASSWORD: password }), ...env } };
    const args = ['-XAtqw', '-c', 'select session_user', `port=${running.port} dbname=orders ${conninfo}`];
    return new Promise((resolve) => {
      execFile(psql, args, options, (error, stdout, stderr) => {
        resolve({ status: Number(error?.code ?? 0), stdout: stdout.trim(), stderr });
      });
    });
  }
  const verified = (): string =>
    `host=localhost hostaddr=127.0.0.1 sslmode=verify-full sslrootcert=${files.ca.certFile}`;

  test.each([
    ['in plaintext on loopback', () => 'host=127.0.0.1 sslmode=disable channel_binding=disable'],
    ['in TLS 1.2, bound', () => `${verified()} channel_binding=require ssl_max_protocol_version=TLSv1.2`],
    ['in TLS 1.3, bound', () => `${verified()} channel_binding=require ssl_min_protocol_version=TLSv1.3`],
    ['in TLS, not bound', () => `${verified()} channel_binding=disable`],
    [
      'by another server name with another certificate, bound',
      () =>
        `host=other.example hostaddr=127.0.0.1 sslmode=verify-full sslrootcert=${files.ca.certFile} channel_binding=require`,
    ],
  ])('logs in %s', async (_, conninfo) => {
    expect(await ask(`${conninfo()} user=reader`, PASSWORDS.reader)).toMatchObject({
      stdout: 'reader',
      stderr: '',
    });
    expect(await ask(`${conninfo()} user=writer`, PASSWORDS.writer)).toMatchObject({
      stdout: 'writer',
      stderr: '',
    });
  });

  test('reads what PostgreSQL would say of a wrong password, an unknown user, and no password', async () => {
    for (const [user, password] of [
      ['reader', 'canary-x'],
      ['nobody', 'canary-one'],
    ] as const) {
      const { status, stderr } = await ask(`${verified()} user=${user}`, password);
      expect(status).toBe(2);
      expect(stderr).toContain(`FATAL:  password authentication failed for user "${user}"`);
    }
    expect((await ask(`${verified()} user=reader`, undefined)).stderr).toContain('no password supplied');
  });
});

test('a plugin that asks a client for a token that proves a password is told so, and the client that there was an error', async () => {
  const at = await startGateway({
    listen: { port: 0, auth: 'scram' },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [
      {
        name: 'asking',
        provides: ['identity'],
        async onAuth(session) {
          await session.token();
        },
      },
    ],
  });
  const client = new Client({
    host: '127.0.0.1',
    port: at.port,
    user: 'a',
    database: 'orders',
    password: 'x',
  });
  client.on('error', () => {});
  await expect(client.connect()).rejects.toMatchObject({ code: 'XX000' });
  expect(at.text()).toContain("this client is asked for 'scram'");
  await at.gateway.stop();
});

test('who fails too often is refused before it is asked, by its address', async () => {
  const at = await startGateway({
    listen: { port: 0, auth: 'scram' },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [
      rateLimit({ failedLogins: { per: 'address', limit: '2/h' } }),
      passwords({ file: list }),
      roles({ issuer: 'password:', claim: 'sub', map: MAP }),
    ],
  });
  const connect = async (password: string): Promise<string> => {
    const client = new Client({
      host: '127.0.0.1',
      port: at.port,
      user: 'reader',
      database: 'orders',
      password,
    });
    client.on('error', () => {});
    return client.connect().then(
      async () => {
        await client.end();
        return 'in';
      },
      ({ code }: { code: string }) => code,
    );
  };
  // A good login takes one back.
  const outcomes: string[] = [];
  for (const password of ['a', PASSWORDS.reader, 'a', 'a', PASSWORDS.reader])
    outcomes.push(await connect(password));
  expect(outcomes).toEqual(['28P01', 'in', '28P01', '28P01', '53400']);
  await at.gateway.stop();
});

test('no log line has a password, a verifier, a proof or a nonce', () => {
  expect(running.text()).toContain('"credential":"scram"');
  expect(running.text()).not.toMatch(/canary|SCRAM-SHA-256\$|biws|,r=|storedKey|serverKey/);
});

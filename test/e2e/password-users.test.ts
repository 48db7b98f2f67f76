/** Who still comes with a password: in the log, in the metrics, and until when. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { UsersSeen } from '../../plugins/passwords/users-seen.ts';
import { passwords } from '../../plugins/passwords/index.ts';
import type { PasswordsOptions } from '../../plugins/passwords/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { tracing } from '../../plugins/tracing/index.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { parsePrometheus } from '../support/prometheus.ts';
import { sharedPostgres } from '../support/postgres.ts';

let files: Certificates;
let list: string;
let running: RunningGateway | undefined;

beforeAll(async () => {
  files = await certificates();
  list = join(files.folder, 'userlist.txt');
  writeFileSync(list, '"reader" "one"\n"writer" "two"\n', { mode: 0o600 });
});
afterEach(async () => {
  await running?.gateway.stop();
  running = undefined;
});
afterAll(() => files.remove());

async function gateway(options: Partial<PasswordsOptions> = {}): Promise<RunningGateway> {
  running = await startGateway({
    listen: { port: 0, auth: 'scram' },
    admin: { port: 0 },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [
      tracing({ metrics: { prometheus: true, public: true } }),
      passwords({ file: list, ...options }),
      roles({ issuer: 'password:', claim: 'sub', allow: ['reader', 'writer'] }),
    ],
  });
  return running;
}

async function connect({ port }: RunningGateway, user: string, password: string): Promise<Client> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user,
    password,
    database: 'orders',
    application_name: 'billing run',
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

test('each user and address has one line a day, and a time and a count in the metrics', async () => {
  const at = await gateway({ users: { writer: { until: '2999-06-30' } } });
  const before = Date.now() / 1_000;
  for (const [user, password] of [
    ['reader', 'one'],
    ['reader', 'one'],
    ['writer', 'two'],
  ] as const)
    await (await connect(at, user, password)).end();
  await expect(connect(at, 'writer', 'one')).rejects.toMatchObject({ code: '28P01' });
  expect(at.lines('a password is still in use')).toMatchObject([
    { level: 'info', user: 'reader', address: '127.0.0.1', database: 'orders', application: 'billing run' },
    { user: 'writer', until: '2999-07-01T00:00:00.000Z' },
  ]);
  const text = await (await fetch(`http://127.0.0.1:${at.adminPort}/metrics`)).text();
  const samples = parsePrometheus(text).filter(({ name }) => name.startsWith('postern_password'));
  const logins = samples.filter(({ name }) => name === 'postern_password_logins_total');
  expect(logins.map(({ labels, value }) => [labels['user'], value])).toEqual([
    ['reader', 2],
    ['writer', 1],
  ]);
  const times = samples.filter(({ name }) => name === 'postern_password_last_login_timestamp_seconds');
  expect(times.map(({ labels }) => labels['user'])).toEqual(['reader', 'writer']);
  expect(times.every(({ value }) => value >= before - 1 && value <= Date.now() / 1_000 + 1)).toBe(true);
});

test('a session ends with its password, and nobody begins another', async () => {
  const soon = new Date(Date.now() + 3_000);
  const at = await gateway({ until: soon.toISOString().replace(/\.\d+Z$/, 'Z') });
  const client = await connect(at, 'reader', 'one');
  const ended = new Promise<unknown>((resolve) => client.once('error', resolve));
  expect(await ended).toMatchObject({ code: '57P01', message: 'the password is not good any more' });
  await expect(connect(at, 'reader', 'one')).rejects.toMatchObject({
    code: '28000',
    message: 'the password of user "reader" is not good any more',
    hint: 'Log in with a token, or ask for a new password.',
  });
  // Whoever has not proven anything is told nothing.
  await expect(connect(at, 'reader', 'two')).rejects.toMatchObject({ code: '28P01' });
});

test('a day begins at midnight in UTC, and a list that is too long forgets who came longest ago', () => {
  const seen = new UsersSeen();
  const day = Date.UTC(2027, 5, 30);
  expect(seen.note('a', '10.0.0.1', day)).toBe(true);
  expect(seen.note('a', '10.0.0.1', day + 86_399_999)).toBe(false);
  expect(seen.note('a', '10.0.0.2', day)).toBe(true);
  expect(seen.note('a', '10.0.0.1', day + 86_400_000)).toBe(true);
  expect(seen.readings()).toEqual([{ user: 'a', logins: 4, lastLogin: day + 86_400_000 }]);
  for (let number = 0; number < 10_000; number += 1) seen.note(`user${number}`, '10.0.0.1', day);
  expect(seen.readings()).toHaveLength(10_000);
  expect(seen.readings().some(({ user }) => user === 'a')).toBe(false);
});

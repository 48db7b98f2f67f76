import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { LoggedIn, RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RawClient, cancelRequest, fieldsOf, message } from '../support/raw-client.ts';

let postgres: Postgres;
let files: Certificates;
let running: RunningGateway;

beforeAll(async () => {
  postgres = sharedPostgres();
  files = await certificates();
  running = await startGateway({
    listen: { port: 0, tls: { cert: files.server.certFile, key: files.server.keyFile } },
    databases: { orders: databaseOf(postgres) },
    plugins: [mapTo('reader')],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  files.remove();
});

const query = (text: string): Buffer => message('Q', `${text}\0`);

async function login(minor = 0): Promise<LoggedIn> {
  return logIn(await RawClient.connect(running.port), {}, { minor });
}

/** Starts a statement that would take ten minutes, and waits until PostgreSQL runs it. */
async function sleep({ client }: LoggedIn, mark: string): Promise<void> {
  client.send(query(`select pg_sleep(600) /* ${mark} */`));
  await expect.poll(() => active(mark)).toBe(1);
}

async function active(mark: string): Promise<unknown> {
  const [row] = await postgres.sql(
    `select count(*)::int as n from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()
     and query like 'select pg_sleep(600) /* ${mark} */%'`,
  );
  return row?.['n'];
}

/** Sends a CancelRequest and waits until the gateway has closed its connection. */
async function cancel(
  { processId, secret }: Pick<LoggedIn, 'processId' | 'secret'>,
  secure = false,
): Promise<void> {
  const client = await RawClient.connect(running.port);
  if (secure) await client.startTls();
  client.send(cancelRequest(processId, secret));
  expect((await client.rest()).length).toBe(0);
}

async function answered({ client }: LoggedIn): Promise<string | undefined> {
  for (;;) {
    const { type, body } = await client.message();
    if (type === 'E') {
      await client.until('Z');
      return fieldsOf(body)['C'];
    }
    if (type === 'Z') return undefined;
  }
}

test.each([
  ['plaintext, protocol 3.0', false, 0],
  ['TLS, protocol 3.0', true, 0],
  ['TLS, protocol 3.2', true, 2],
])(
  'a cancel request over %s stops the statement of its session and no other',
  async (mark, secure, minor) => {
    const [mine, other] = [await login(minor), await login(minor)];
    await sleep(mine, `mine ${mark}`);
    await sleep(other, `other ${mark}`);
    await cancel(mine, secure);
    expect(await answered(mine)).toBe('57014');
    expect(await active(`other ${mark}`)).toBe(1);
    mine.client.send(query('select 1'));
    expect(await answered(mine)).toBeUndefined();
    await cancel(other, secure);
    expect(await answered(other)).toBe('57014');
    for (const { client } of [mine, other]) client.destroy();
  },
);

test('a wrong secret, and the key of a session that is gone, stop nothing', async () => {
  const mine = await login();
  await sleep(mine, 'stays');
  const wrong = Buffer.from(mine.secret.map((byte) => byte ^ 1));
  await cancel({ processId: mine.processId, secret: wrong });
  await cancel({ processId: mine.processId ^ 1, secret: mine.secret });
  await cancel({ processId: mine.processId, secret: Buffer.concat([mine.secret, mine.secret]) });
  expect(await active('stays')).toBe(1);
  mine.client.destroy();
  await expect.poll(() => active('stays')).toBe(0);
  await cancel(mine);
});

test('a cancel that comes late does not hit the next statement', async () => {
  const mine = await login();
  for (let round = 0; round < 40; round += 1) {
    mine.client.send(query('select 1'));
    expect(await answered(mine)).toBeUndefined();
    await cancel(mine);
    mine.client.send(query('select pg_sleep(0.005)'));
    expect(await answered(mine)).toBeUndefined();
  }
  mine.client.destroy();
});

describeWith('psql', (psql) => {
  test('Ctrl-C in psql cancels its running query, and only that', async () => {
    const other = await login();
    await sleep(other, 'bystander');
    const child = spawn(psql, ['-XAt', '-d', 'dbname=orders user=alice host=127.0.0.1 sslmode=require'], {
      env: { ...process.env, PGPORT: String(running.port), PGPASSWORD: GOOD_TOKEN },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    // A psql that reads a script leaves after Ctrl-C.
    const left = once(child, 'close');
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (text += String(chunk)));
    }
    child.stdin.write('select pg_sleep(600) /* psql */;\n');
    await expect.poll(() => active('psql')).toBe(1);
    child.kill('SIGINT');
    await left;
    expect(text).toContain('canceling statement due to user request');
    expect(await active('psql')).toBe(0);
    expect(await active('bystander')).toBe(1);
    other.client.destroy();
  });
});

/** Sessions through a gateway whose server connections outlive them: people, policies, kills, and what PostgreSQL sees of it. */
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { prepareCheckout } from '../support/gateway-process.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

let postgres: OwnPostgres;
let front: TokenGateway;

/** Tells each session's SQL who it is, as row level security would want to know. */
const CLAIMS = `{
  name: 'claims',
  needs: ['identity'],
  onAuth: (session, upstream) => ({
    ...upstream,
    onCheckout: [...upstream.onCheckout, () => ({ 'app.subject': session.facts.identity.subject })],
  }),
} as import('postern').Plugin<'identity'>,`;

beforeAll(async () => {
  prepareCheckout();
  postgres = await startPostgres();
  front = await startTokenGateway(postgres, {
    database: 'pool: { size: 4 }',
    databases: 'narrow: { ...server, pool: { size: 1, queueTimeout: "300ms" } }',
    plugins: CLAIMS,
  });
}, 120_000);
afterAll(async () => {
  await front.gateway.remove();
  await postgres.stop();
});

/** A client of somebody, logged in. */
async function login(sub: string, more: object = {}): Promise<Client> {
  const client = new Client({
    ...front.address(),
    password: front.issuer.sign({ sub, role: 'reader' }),
    ...more,
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function rows(client: Client, sql: string): Promise<unknown[]> {
  return (await client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows.flat();
}

/** How often the role has logged in at the server so far. */
const logins = (): number => postgres.log().split('connection authorized: user=reader').length - 1;
const backends = async (): Promise<number> =>
  (await postgres.sql("select from pg_stat_activity where usename = 'reader'")).length;

test('a hundred sessions of ten people, one after the other, open no more than one server connection', async () => {
  for (let i = 0; i < 100; i += 1) {
    const client = await login(`person ${i % 10}`);
    expect(await rows(client, `select session_user, current_user, current_setting('app.subject')`)).toEqual([
      'reader',
      'reader',
      `person ${i % 10}`,
    ]);
    expect(await rows(client, `select current_setting('app.mark', true)`)).not.toContain('behind');
    await client.query(`set app.mark = 'behind'; set app.subject = 'forged'; create temp table mine ()`);
    await client.end();
  }
  // Each worker has its own.
  expect(await backends()).toBeLessThanOrEqual(workersOf());
  if (workersOf() === 1) expect(logins()).toBe(1);
});

test('at the same time they share as many as the entry allows, and each sees only what is its own', async () => {
  const one = async (i: number): Promise<void> => {
    const client = await login(`person ${i % 7}`, { application_name: `app ${i}` });
    await client.query(`create temp table mine as select ${i} as i; set app.mark = '${i}'`);
    const seen = await rows(
      client,
      `select i, current_setting('app.mark'), current_setting('app.subject'), current_setting('application_name') from mine`,
    );
    expect(seen).toEqual([i, String(i), `person ${i % 7}`, `app ${i}`]);
    await client.end();
  };
  for (let round = 0; round < 5; round += 1) {
    await Promise.all(Array.from({ length: 40 }, (_, i) => one(round * 40 + i)));
  }
  expect(await backends()).toBeLessThanOrEqual(4);
  // Those that workers pass to each other are opened anew.
  if (workersOf() === 1) expect(logins()).toBeLessThanOrEqual(4);
});

test('no idle server connection that was killed is ever a client’s error', async () => {
  for (let round = 0; round < 10; round += 1) {
    await Promise.all([1, 2, 3, 4].map(async (i) => (await login(`person ${i}`)).end()));
    // One that was being opened all the while may come after the others have gone.
    await expect
      .poll(async () => {
        await postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'reader'");
        return backends();
      })
      .toBe(0);
    const client = await login('alice');
    expect(await rows(client, 'select 1')).toEqual([1]);
    await client.end();
  }
});

test('what a client chooses at its startup is in force, told, and nobody else’s afterwards', async () => {
  const options = '-c TimeZone=Asia/Tokyo -c DateStyle=German -c extra_float_digits=0';
  const chosen = await login('alice', { options, application_name: 'chooser' });
  const shown = `select current_setting('TimeZone'), current_setting('DateStyle'), current_setting('extra_float_digits'),
    current_setting('application_name')`;
  expect(await rows(chosen, shown)).toEqual(['Asia/Tokyo', 'German, DMY', '0', 'chooser']);
  await chosen.end();
  // At once, so that each of several workers has a connection for the one below.
  const plain = [await login('alice'), await login('alice')];
  for (const client of plain) {
    expect(await rows(client, shown)).not.toContain('Asia/Tokyo');
    expect(await rows(client, shown)).not.toContain('chooser');
  }
  for (const client of plain) await client.end();
  const before = logins();
  await expect(login('alice', { options: '-c TimeZone=nonsense' })).rejects.toMatchObject({
    severity: 'FATAL',
    code: '22023',
    message: 'invalid value for parameter "TimeZone": "nonsense"',
  });
  await (await login('alice')).end();
  expect(logins()).toBe(before);
});

test('whoever finds no room waits as long as the entry says, and is let in when somebody leaves', async () => {
  const first = await login('alice', { database: 'narrow' });
  await expect(login('bob', { database: 'narrow' })).rejects.toMatchObject({ code: '53300' });
  const waiting = login('bob', { database: 'narrow' });
  await first.end();
  const second = await waiting;
  expect(await rows(second, `select current_setting('app.subject')`)).toEqual(['bob']);
  await second.end();
});

test('a restart of PostgreSQL is over when it is over', async () => {
  const idle = await login('alice');
  await idle.end();
  postgres.kill('SIGINT');
  await expect
    .poll(() => login('alice').then(String, (error: { code?: string }) => error.code))
    .toMatch(/08001|57P03/);
  await postgres.restart();
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, i) => login(`person ${i % 4}`).then((client) => client.end())),
  );
  expect(all).toHaveLength(20);
  expect(await backends()).toBeLessThanOrEqual(4);
});

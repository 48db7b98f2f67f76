import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { afterEach, beforeAll, expect, test } from 'vitest';
import type { Duration } from '../../core/contract/durations.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RawClient, message } from '../support/raw-client.ts';
import type { Received } from '../support/raw-client.ts';

let postgres: Postgres;
let running: RunningGateway;
const clients: RawClient[] = [];

beforeAll(() => {
  postgres = sharedPostgres();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await running.gateway.stop();
});

async function start(drainTimeout: Duration, drainDelay: Duration = '0s'): Promise<void> {
  running = await startGateway({
    databases: { orders: databaseOf(postgres) },
    plugins: [mapTo('writer')],
    admin: { port: 0 },
    drainDelay,
    drainTimeout,
  });
}

/** Status and text of the readiness checks. */
async function ready(): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${running.adminPort}/readyz`);
  return [response.status, await response.text()];
}

async function client(): Promise<RawClient> {
  const connected = await RawClient.connect(running.port);
  clients.push(connected);
  return (await logIn(connected)).client;
}

const query = (text: string): Buffer => message('Q', `${text}\0`);
const statusOf = (messages: Received[]): string | undefined => messages.at(-1)?.body.toString();

test('a drain ends idle sessions, lets a transaction finish, refuses logins, and then stops', async () => {
  await start('20s');
  const idle = await client();
  const busy = await client();
  busy.send(query('begin; create temp table t (i int); insert into t values (1)'));
  expect(statusOf(await busy.until('Z'))).toBe('T');
  const drained = running.gateway.drain();
  expect(await idle.error()).toMatchObject({ S: 'FATAL', C: '57P01' });
  expect((await idle.rest()).length).toBe(0);
  // The worker of the idle client has nothing more to do, and answers no more.
  await expect.poll(ready).toEqual([503, expect.stringContaining('shutting down')]);
  await expect(client()).rejects.toThrow('"C":"57P03"');
  busy.send(query('insert into t values (2)'));
  expect(statusOf(await busy.until('Z'))).toBe('T');
  busy.send(query('commit'));
  const last = await busy.until('Z');
  expect(last.map(({ type }) => type)).toContain('C');
  expect(await busy.error()).toMatchObject({ S: 'FATAL', C: '57P01' });
  await drained;
  await expect(RawClient.connect(running.port)).rejects.toThrow('ECONNREFUSED');
  expect(running.lines('close').map((line) => line['reason'])).toEqual(['drained', 'drained']);
});

test('while the drain delay lasts, balancers are told to send no more clients, and those that come are served', async () => {
  await start('20s', '2s');
  const idle = await client();
  const drained = running.gateway.drain();
  await expect.poll(ready).toEqual([503, expect.stringContaining('shutting down')]);
  const late = await client();
  for (const each of [idle, late]) {
    each.send(query('select 1'));
    expect(statusOf(await each.until('Z'))).toBe('I');
  }
  for (const each of [idle, late]) expect(await each.error()).toMatchObject({ S: 'FATAL', C: '57P01' });
  await drained;
  expect(running.lines('not ready, and serving on')[0]).toMatchObject({ delayMs: 2_000 });
});

test('a stop ends the drain delay', async () => {
  await start('20s', '1h');
  const idle = await client();
  const drained = running.gateway.drain();
  await expect.poll(ready).toEqual([503, expect.stringContaining('shutting down')]);
  await running.gateway.stop();
  expect(await idle.error()).toMatchObject({ S: 'FATAL', C: '57P01' });
  await drained;
});

test('idle sessions end in another order than they came, and all of them', async () => {
  await start('10s');
  const ended: number[] = [];
  const endings: Promise<unknown>[] = [];
  for (let i = 0; i < 20; i += 1) {
    const each = await client();
    endings.push(each.error().then(() => ended.push(i)));
  }
  await Promise.all([running.gateway.drain(), ...endings]);
  expect(ended).toHaveLength(20);
  expect(ended).not.toEqual(ended.toSorted((a, b) => a - b));
});

test('at the end of the drain timeout a running statement is cancelled and its client told', async () => {
  await start('100ms');
  const busy = await client();
  busy.send(query('select pg_sleep(600) /* drained */'));
  const sleeping = `select count(*)::int as n from pg_stat_activity where state = 'active' and query like '%/* drained */'
    and pid <> pg_backend_pid()`;
  await expect.poll(() => postgres.sql(sleeping)).toEqual([{ n: 1 }]);
  const drained = running.gateway.drain();
  expect(await busy.error()).toMatchObject({ S: 'FATAL', C: '57P01' });
  await busy.rest();
  await drained;
  await expect.poll(() => postgres.sql(sleeping)).toEqual([{ n: 0 }]);
});

test('a login in progress is told that the gateway is shutting down', async () => {
  let entered = false;
  running = await startGateway({
    databases: { orders: databaseOf(postgres) },
    plugins: [
      {
        name: 'slow',
        async onStartup(session) {
          entered = true;
          await new Promise<void>((resolve) => session.signal.addEventListener('abort', () => resolve()));
        },
      },
    ],
  });
  const waiting = await RawClient.connect(running.port);
  clients.push(waiting);
  const outcome = logIn(waiting).catch((error: Error) => error.message);
  await expect.poll(() => entered).toBe(true);
  await running.gateway.drain();
  expect(await outcome).toContain('"C":"57P03"');
});

test('stop does not wait for transactions', async () => {
  await start('20s');
  const busy = await client();
  busy.send(query('begin'));
  await busy.until('Z');
  const drained = running.gateway.drain();
  await running.gateway.stop();
  expect(await busy.error()).toMatchObject({ C: '57P01' });
  await drained;
});

describeWith('pgbench', (pgbench) => {
  let database: string;
  beforeAll(async () => {
    database = await freshDatabase();
    await postgres.sql(`alter database ${database} owner to writer`);
  });

  test('a drain under load breaks no transaction', async () => {
    running = await startGateway({
      databases: { orders: databaseOf(postgres, { database }) },
      plugins: [mapTo('writer')],
    });
    const { port, gateway, lines } = running;
    const address = { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'alice', PGPASSWORD: GOOD_TOKEN };
    const env = { ...process.env, ...address };
    await promisify(execFile)(pgbench, ['-i', '-q', 'orders'], { env });
    const child = spawn(pgbench, ['-c', '8', '-T', '60', 'orders'], { env });
    const left = once(child, 'close');
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => (text += String(chunk)));
    const written = async (): Promise<number> =>
      Number((await postgres.sql('select count(*) as n from pgbench_history', database))[0]?.['n']);
    await expect.poll(written).toBeGreaterThan(100);
    await gateway.drain();
    await left;
    // Command 4 of the built-in script is BEGIN: nobody was ended behind it.
    expect(text).toContain('terminating connection: the gateway is shutting down');
    expect(new Set(text.match(/in command \d+/g))).toEqual(new Set(['in command 4']));
    expect(lines('close').filter((line) => line['reason'] === 'drained')).toHaveLength(8);
    const balanced = `select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches)
      and (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history) as ok`;
    expect(await postgres.sql(balanced, database)).toEqual([{ ok: true }]);
  });
});

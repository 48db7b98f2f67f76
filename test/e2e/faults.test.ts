/** Kills and failures around a gateway process under load: what is confirmed is kept, and nothing is left over. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseError } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { hasProc, prepareCheckout } from '../support/gateway-process.ts';
import { Load } from '../support/load.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { OUTBURSTS, moodyServer, portOf, strangeServers } from '../support/strange-servers.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

let postgres: OwnPostgres;
let front: TokenGateway;
/** Each is a database entry of its name. */
let strange: ReadonlyMap<string, net.Server>;
let moody: net.Server;

beforeAll(async () => {
  prepareCheckout();
  postgres = await startPostgres();
  await postgres.sql('create table ledger (id int primary key); grant select, insert on ledger to writer');
  strange = await strangeServers();
  moody = await moodyServer(postgres.port);
});
afterAll(async () => {
  for (const server of [moody, ...strange.values()]) server.close();
  await postgres.stop();
});

beforeEach(async () => {
  const ports = Object.entries({ dead: 1, moody: portOf(moody) });
  for (const [name, server] of strange) ports.push([name, portOf(server)]);
  front = await startTokenGateway(postgres, {
    databases: ports.map(([name, port]) => `${name}: { ...server, port: ${port} }`).join(', '),
    more: "drainTimeout: '8s'",
  });
  await postgres.sql('truncate ledger');
});
afterEach(async () => {
  await front.gateway.remove();
});

const writers = async (): Promise<number> =>
  (await postgres.sql("select from pg_stat_activity where usename in ('reader', 'writer')")).length;
const active = async (): Promise<number> =>
  (await postgres.sql("select from pg_stat_activity where usename = 'writer' and state = 'active'")).length;

async function ledger(): Promise<Set<number>> {
  const rows = await postgres.sql('select id from ledger');
  return new Set(rows.map(({ id }) => id as number));
}

/** Everything confirmed is there, nothing broken is, and nothing that nobody wrote. */
async function balanced(load: Load): Promise<void> {
  const kept = await ledger();
  expect([...load.confirmed].filter((id) => !kept.has(id))).toEqual([]);
  expect([...kept].filter((id) => !load.confirmed.has(id) && !load.unknown.has(id))).toEqual([]);
  expect(load.confirmed.size).toBeGreaterThan(0);
}

/** Opens and closes as many sessions as a test will have; how many files are open then. */
async function baseline(sessions: number): Promise<number> {
  const clients = await Promise.all(Array.from({ length: sessions }, () => front.login('writer')));
  await Promise.all(clients.map((client) => client.end()));
  await expect.poll(writers).toBe(0);
  return hasProc ? settled() : 0;
}

/** The number of open files once the sockets of the last sessions are gone. */
async function settled(): Promise<number> {
  let before = -1;
  for (;;) {
    const open = front.gateway.descriptors;
    if (open === before) return open;
    before = open;
    await sleep(300);
  }
}

async function nothingLeft(files: number): Promise<void> {
  await expect.poll(writers).toBe(0);
  if (hasProc) await expect.poll(() => front.gateway.descriptors).toBeLessThanOrEqual(files);
}

/** Clients in the middle of their transactions, whose ids begin with `first`. */
async function busy(clients = 6, first = 1): Promise<Load> {
  const load = new Load(first).start(
    await Promise.all(Array.from({ length: clients }, () => front.login('writer'))),
  );
  await expect.poll(() => load.confirmed.size).toBeGreaterThan(20);
  return load;
}

describe('PostgreSQL', () => {
  test('with one process killed ends every session with one error, and serves again when it has recovered', async () => {
    const files = await baseline(6);
    const load = await busy();
    const [row] = await postgres.sql("select pid from pg_stat_activity where usename = 'writer' limit 1");
    process.kill(Number(row?.['pid']), 'SIGKILL');
    await load.done();
    expect(load.ends).toHaveLength(6);
    for (const end of load.ends) expect(end).toMatch(/^(57P02|08006|57P01)$/);
    await expect
      .poll(() => front.login('writer').then((client) => client.end().then(() => 'in'), String))
      .toBe('in');
    await balanced(load);
    await nothingLeft(files);
  });

  test('killed as a whole is told of at once, and no login hangs until it is back', async () => {
    const files = await baseline(6);
    const load = await busy();
    postgres.kill('SIGKILL');
    await load.done();
    expect(load.ends).toHaveLength(6);
    for (const end of load.ends) expect(end).toMatch(/^(57P0[12]|08006)$/);
    await expect(front.login('writer')).rejects.toMatchObject({
      code: expect.stringMatching(/^(08001|57P03)$/) as string,
    });
    await postgres.restart();
    const again = await busy(2, 100_000);
    await again.stop();
    expect(again.ends).toEqual([]);
    const kept = await ledger();
    expect([...load.confirmed].filter((id) => !kept.has(id))).toEqual([]);
    await nothingLeft(files);
  });
});

describeWith('psql', (psql) => {
  /** A psql in the middle of a script; it waits for more. */
  function scripted(text: string): ReturnType<typeof spawn> {
    const child = spawn(psql, ['-Xq'], {
      env: front.environment('writer'),
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.stdin?.on('error', () => {});
    child.stdin?.write(text);
    return child;
  }

  test.each([
    ['a statement', 'insert into ledger select 1 from pg_sleep(600);\n', 'PgSleep'],
    ['an open transaction', 'begin;\ninsert into ledger values (1);\n', 'ClientRead'],
    [
      'a COPY in',
      `copy ledger from stdin;\n${Array.from({ length: 20_000 }, (_, i) => `${i}\n`).join('')}`,
      'ClientRead',
    ],
    ['a COPY out', "copy (select repeat('x', 1000) from generate_series(1, 100000000)) to stdout;\n", ''],
  ])('killed in %s leaves no process and no row', async (_, text, event) => {
    const files = await baseline(1);
    const child = scripted(text);
    const begun = `select from pg_stat_activity where usename = 'writer' and wait_event = '${event}'
      and (xact_start is not null) and query !~ '^begin'`;
    if (event === '') await expect.poll(active).toBe(1);
    else await expect.poll(async () => (await postgres.sql(begun)).length).toBe(1);
    child.kill('SIGKILL');
    await expect.poll(writers).toBe(0);
    expect(await ledger()).toEqual(new Set());
    await nothingLeft(files);
  });
});

describe('the gateway', () => {
  test('told to end under load finishes every transaction, refuses logins meanwhile, and exits with 0', async () => {
    const slow = await front.login('writer');
    await slow.query('begin; insert into ledger values (-1)');
    const load = await busy();
    const { port } = front.gateway;
    front.gateway.signal('SIGTERM');
    await load.done();
    expect([...load.broken]).toEqual([]);
    expect([...load.unknown]).toEqual([]);
    expect(new Set(load.ends)).toEqual(new Set(['57P01']));
    await expect(front.login('writer')).rejects.toMatchObject({ code: '57P03' });
    await slow.query('insert into ledger values (-2); commit');
    load.confirmed.add(-1).add(-2);
    expect(await front.gateway.ended()).toBe(0);
    await balanced(load);
    expect(front.gateway.lines('the drain timeout is over')).toEqual([]);
    expect(await writers()).toBe(0);
    await expect(once(net.connect(port, '127.0.0.1'), 'connect')).rejects.toThrow('ECONNREFUSED');
  });

  test('told twice does not wait for transactions', async () => {
    const slow = await front.login('writer');
    await slow.query('begin; insert into ledger values (-1)');
    front.gateway.signal('SIGTERM');
    await expect.poll(() => front.gateway.lines('draining')).not.toEqual([]);
    // A second signal so soon would be the same Ctrl-C, heard twice.
    await sleep(400);
    const told = once(slow, 'error');
    front.gateway.signal('SIGTERM');
    expect(await front.gateway.ended()).toBe(0);
    expect(front.gateway.lines('the drain timeout is over')).toEqual([]);
    expect((await told)[0]).toMatchObject({ code: '57P01' });
    await expect(slow.query('commit')).rejects.toThrow();
    expect(await ledger()).toEqual(new Set());
    await expect.poll(writers).toBe(0);
  });

  test('killed under load leaves PostgreSQL with what was confirmed and no process', async () => {
    const load = await busy();
    front.gateway.signal('SIGKILL');
    await load.done();
    expect(load.ends).toHaveLength(6);
    await expect.poll(writers).toBe(0);
    await balanced(load);
  });

  test('says of every database that is none that it cannot be reached, and loses nothing over it', async () => {
    const files = await baseline(strange.size + 3);
    const load = await busy(2);
    const names = ['dead', ...strange.keys()];
    const codes = await Promise.all(
      names.map((database) =>
        front.login('writer', { database }).then(
          () => 'in',
          (error: { code?: string }) => `${database} ${error.code}`,
        ),
      ),
    );
    for (const code of codes) expect(code).toMatch(/ (08\d{3}|57014)$/);
    await load.stop();
    expect(load.ends).toEqual([]);
    await balanced(load);
    await nothingLeft(files);
  });

  test('ends a session whose server loses its mind with one error, and the others go on', async () => {
    const files = await baseline(Object.keys(OUTBURSTS).length + 2);
    const load = await busy(2);
    for (const name of Object.keys(OUTBURSTS)) {
      const client = await front.login('writer', { database: 'moody' });
      const told = new Promise<DatabaseError>((resolve) => {
        client.on('error', (error) => error instanceof DatabaseError && resolve(error));
        client.query(`select 'outburst: ${name}'`).catch(resolve);
      });
      expect(await told, name).toMatchObject({ severity: 'FATAL', code: '08P01' });
    }
    await load.stop();
    expect(load.ends).toEqual([]);
    await nothingLeft(files);
  });
});

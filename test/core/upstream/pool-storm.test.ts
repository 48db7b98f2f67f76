/** How fast a pool opens connections: to a server that is there, to one that is not, and to one that has come back. */
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import type { PoolOptions } from '../../../core/contract/pool.ts';
import { GatewayError } from '../../../core/contract/errors.ts';
import { ConnectRate } from '../../../core/upstream/connect-rate.ts';
import { Pool } from '../../../core/upstream/pool/pool.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { ERROR, LOGGED_IN, speaking, verified, VERIFIED } from './server-script.ts';
import { poolOf, request, scripted } from './support.ts';

const postgres = sharedPostgres();

/** A clock that is moved by hand; whoever asked to be called is called then. */
function handClock() {
  let now = 0;
  const runs = new Set<() => void>();
  return {
    now: () => now,
    every(_ms: number, run: () => void) {
      runs.add(run);
      return () => void runs.delete(run);
    },
    pass(ms: number) {
      now += ms;
      for (const run of runs) run();
    },
    get waits() {
      return runs.size;
    },
  };
}

const GONE = new GatewayError('sqlclient_unable_to_establish_sqlconnection', 'gone');

test('so many begin within any second, and who waits for the next is called', () => {
  const clock = handClock();
  let called = 0;
  const connectRate = new ConnectRate({ rate: 3, clock, ready: () => (called += 1) });
  const begun: number[] = [];
  for (let ms = 0; ms < 5_000; ms += 50) {
    if (connectRate.open) {
      connectRate.began();
      begun.push(ms);
    }
    clock.pass(50);
  }
  for (const at of begun) expect(begun.filter((one) => one >= at && one < at + 1_000).length).toBeLessThan(4);
  expect(begun.length).toBe(15);
  expect(called).toBeGreaterThan(3);
  connectRate.stop();
  expect(clock.waits).toBe(0);
});

test('each failure lets longer pass, up to three quarters of a second and never equally long; a success ends it', () => {
  const pauses = Array.from({ length: 20 }, () => {
    const clock = handClock();
    const connectRate = new ConnectRate({ rate: 1_000, clock, ready() {} });
    const waited = Array.from({ length: 12 }, () => {
      connectRate.began();
      connectRate.failed(GONE);
      const before = clock.now();
      while (!connectRate.open) clock.pass(1);
      return clock.now() - before;
    });
    connectRate.succeeded();
    connectRate.began();
    expect(connectRate.open).toBe(true);
    return waited;
  });
  for (const waited of pauses) {
    expect(waited[0]).toBeLessThanOrEqual(30);
    expect(Math.max(...waited)).toBeLessThanOrEqual(750);
    expect(waited.slice(6).every((ms) => ms >= 250)).toBe(true);
  }
  expect(new Set(pauses.map((waited) => waited.at(-1))).size).toBeGreaterThan(5);
});

test('what says nothing of the server costs no pause: a role, a database, a password that is wrong', () => {
  const connectRate = new ConnectRate({ rate: 10, clock: handClock(), ready() {} });
  for (const condition of ['invalid_catalog_name', 'insufficient_privilege', 'invalid_schema_name'] as const)
    connectRate.failed(new GatewayError(condition, 'no'));
  connectRate.failed(new Error('a mistake of ours'));
  expect(connectRate.open).toBe(true);
});

test('a pool begins no more than connectRate in a second, and goes on by itself', async () => {
  const clock = handClock();
  const options: PoolOptions = { size: 30, connecting: 30, connectRate: 10 };
  const login = { kind: 'password', passwords: postgres.passwords } as const;
  const database: DatabaseOptions = { host: postgres.host, port: postgres.port, login, pool: options };
  const pool = new Pool({ entry: 'main', database, clock });
  const all = Array.from({ length: 25 }, () => pool.acquire(request()));
  for (const [ms, size] of [
    [0, 10],
    [999, 10],
    [1, 20],
    [1_000, 25],
  ] as const) {
    clock.pass(ms);
    expect(pool.size).toBe(size);
    await expect.poll(() => pool.opening).toBe(0);
  }
  await Promise.all(all);
  await pool.close();
});

test('two hundred clients of a server that refuses everybody are no storm, and none when it is back', async () => {
  const SIZE = 10;
  let back = false;
  const good = speaking(LOGGED_IN, verified(VERIFIED));
  const starting = ERROR('SFATAL\0C57P03\0Mthe database system is starting up\0\0');
  const server = await scripted((socket: Socket) => {
    if (back) good(socket);
    else socket.once('data', () => socket.end(starting));
  });
  const database: DatabaseOptions = {
    host: '127.0.0.1',
    port: server.port,
    login: { kind: 'trust' },
    pool: { size: SIZE },
  };
  const pool = poolOf(database);
  let [refused, served] = [0, 0];
  const client = async (i: number): Promise<void> => {
    for (;;) {
      const wanted = { fingerprint: `person ${i % 20}` };
      const connection = await pool.acquire(request(wanted)).catch((error: unknown) => {
        expect(error).toMatchObject({ sqlstate: '57P03' });
        refused += 1;
      });
      if (connection) {
        served += 1;
        return pool.release(connection, 'close');
      }
    }
  };
  const clients = Promise.all(Array.from({ length: 200 }, (_, i) => client(i)));
  const since = performance.now();
  await expect.poll(() => refused, { timeout: 60_000 }).toBeGreaterThan(1_000);
  const seconds = (performance.now() - since) / 1_000;
  const tries = server.accepted;
  // Everybody who waits hears of one try; few are made, however often they come back.
  expect(tries).toBeLessThan(10 + 20 * seconds);
  back = true;
  const atOnce: number[] = [];
  const watching = setInterval(() => atOnce.push(pool.opening), 1);
  await clients;
  clearInterval(watching);
  expect(served).toBe(200);
  expect(Math.max(...atOnce)).toBeLessThanOrEqual(4);
  await pool.close();
  await server.stop();
}, 120_000);

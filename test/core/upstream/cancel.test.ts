import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { cancel } from '../../../core/upstream/cancel.ts';
import { query, scripted, withConnection } from './support.ts';

let pems: Certificates;
let postgres: OwnPostgres;

beforeAll(async () => {
  pems = await certificates();
  postgres = await startPostgres({ ssl: { cert: pems.server.cert, key: pems.server.key } });
});

afterAll(async () => {
  await postgres.stop();
  pems.remove();
});

function entry(way: string): DatabaseOptions {
  const { port, passwords, socketDir } = postgres;
  const host = way === 'a unix socket' ? socketDir : '127.0.0.1';
  const tls = way === 'TLS' ? { ca: pems.ca.certFile } : { mode: 'disable' as const };
  return { host, port, tls, login: { kind: 'password', passwords } };
}

const sleeping = (pid: number) =>
  postgres.sql(`select wait_event from pg_stat_activity where pid = ${pid} and wait_event = 'PgSleep'`);

test.each(['TCP', 'TLS', 'a unix socket'])(
  'over %s cancel ends the running query, and only that',
  async (way) => {
    await withConnection(entry(way), {}, async (connection) => {
      for (let round = 0; round < 3; round += 1) {
        const running = query(connection, 'select pg_sleep(60)');
        await expect.poll(() => sleeping(connection.pid)).toHaveLength(1);
        const cancelled = expect(running).rejects.toThrow('57014');
        expect(await connection.cancel()).toBe(true);
        await cancelled;
        expect(await query(connection, 'select 1')).toEqual([['1']]);
      }
    });
  },
);

test('a cancel that found nothing to cancel never hits the next query', async () => {
  await withConnection(entry('TCP'), {}, async (connection) => {
    for (let round = 0; round < 100; round += 1) {
      expect(await connection.cancel()).toBe(true);
      expect(await query(connection, `select ${round}`)).toEqual([[String(round)]]);
    }
  });
});

test('a connection that is gone is not cancelled: its process id may be another’s', async () => {
  await withConnection(entry('TCP'), {}, async (connection) => {
    connection.channel.destroy();
    await expect.poll(() => connection.channel.closed).toBe(true);
    expect(await connection.cancel()).toBe(true);
  });
});

const key = { pid: 7, secret: Buffer.alloc(32, 9) };
const database = { host: 'localhost', login: { kind: 'trust' } } as const;

test('the request is exactly the manual’s, with a key of any length', async () => {
  const seen: string[] = [];
  const server = await scripted((socket) =>
    socket.on('data', (bytes) => (seen.push(bytes.toString('hex')), socket.end())),
  );
  expect(await cancel({ database, address: { host: '127.0.0.1', port: server.port }, key })).toBe(true);
  expect(seen).toEqual([`0000002c04d2162e00000007${'09'.repeat(32)}`]);
  await server.stop();
});

test('a server that never closes gives false at the deadline, and the socket goes', async () => {
  const server = await scripted((socket) => void socket.resume());
  const address = { host: '127.0.0.1', port: server.port };
  expect(await cancel({ database, address, key, cancelMs: 50 })).toBe(false);
  await expect.poll(() => server.sockets.size).toBe(0);
  await server.stop();
});

test('many at once are no leak to Node', async () => {
  const server = await scripted((socket) => void socket.resume());
  const address = { host: '127.0.0.1', port: server.port };
  const warnings: string[] = [];
  const warned = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', warned);
  const cancels = Array.from({ length: 20 }, () => cancel({ database, address, key, cancelMs: 50 }));
  expect(new Set(await Promise.all(cancels))).toEqual(new Set([false]));
  await new Promise(setImmediate);
  process.off('warning', warned);
  expect(warnings).toEqual([]);
  await server.stop();
});

test('a server that cannot be reached gives false', async () => {
  expect(await cancel({ database, address: { host: '127.0.0.1', port: 1 }, key })).toBe(false);
});

test('a server that resets the connection after the request has closed it', async () => {
  const server = await scripted((socket) => socket.on('data', () => void socket.resetAndDestroy()));
  expect(await cancel({ database, address: { host: '127.0.0.1', port: server.port }, key })).toBe(true);
  await server.stop();
});

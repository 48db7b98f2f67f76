/** Large copies through a gateway process: byte for byte, with its memory flat, whoever stands still. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Digest } from '../support/digest.ts';
import { hasProc, prepareCheckout } from '../support/gateway-process.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { logIn } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { RawClient, message } from '../support/raw-client.ts';
import { openAs } from '../support/raw.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

const MIB = 1_048_576;
/** Bytes that may stand in the system's buffers of two connections; 18 MiB were seen. */
const IN_SOCKETS = 80 * MIB;
/** What the collector may let pile up while a gigabyte passes; 6 to 9 MiB were seen. */
const FLAT = 32 * MIB;
/** After a minute a client that stands still is cut off; a server may wait for a lock for longer. */
const LOCKED_MS = process.env['POSTERN_LONG'] === '1' ? 65_000 : 0;
/** A row of 64 KiB, no two alike. */
const ROW = 'select i, repeat(md5(i::text), 2048) from generate_series(1, $rows) i';
const query = (text: string): Buffer => message('Q', `${text}\0`);

let postgres: OwnPostgres;
const fronts: TokenGateway[] = [];

beforeAll(async () => {
  prepareCheckout();
  postgres = await startPostgres();
  await postgres.sql(`
    create unlogged table arrived (i int, payload text); grant select, insert on arrived to writer;
    create unlogged table loud (payload text); grant select, insert on loud to writer;
    create function waits() returns trigger language plpgsql as
      $$ begin if new.i = 100 then perform pg_advisory_xact_lock(1); end if; return new; end $$;
    create trigger waits before insert on arrived for each row execute function waits();
    create function shouts() returns trigger language plpgsql as
      $$ begin raise notice '%', repeat('n', 4096); return null; end $$;
    create trigger shouts before insert on loud for each row execute function shouts();
    alter table arrived alter payload set storage external;
  `);
}, 120_000);
afterAll(async () => {
  await Promise.all(fronts.map(({ gateway }) => gateway.remove()));
  await postgres.stop();
});

/** A gateway of its own, warm, and a client of it that counts what it is sent. */
async function prepared(role: string): Promise<{ gateway: GatewayProcess; socket: Socket; answer: Digest }> {
  // Looking at the config's files every 5 s costs more memory for a moment than a stalled reader may.
  const front = await startTokenGateway(postgres, { args: ['--no-watch'] });
  fronts.push(front);
  const { port, password, user } = front.address(role);
  const { client } = await logIn(await RawClient.connect(port), { user }, { token: password });
  client.send(query(`copy (${ROW.replace('$rows', '1000')}) to stdout`));
  await client.until('Z');
  const { socket } = client;
  const answer = new Digest();
  socket.removeAllListeners('data').on('data', (chunk: Buffer) => {
    answer.push(chunk);
  });
  return { gateway: front.gateway, socket, answer };
}

async function directSum(sql: string): Promise<string> {
  const server = await openAs(postgres, 'postgres', 'reader');
  const answer = new Digest();
  server.channel.listen({ bytes: (chunk) => answer.push(chunk), drained() {}, closed() {} });
  server.channel.resume();
  server.channel.write(query(sql));
  const sum = await answer.complete;
  server.close();
  return sum;
}

async function waitsFor(event: string, role: string): Promise<boolean> {
  const rows = await postgres.sql(
    `select from pg_stat_activity where usename = '${role}' and wait_event = '${event}'`,
  );
  return rows.length > 0;
}

/** Writes as fast as the socket takes it; resolves when all has been handed over. */
async function pour(socket: Socket, parts: Iterable<Buffer>): Promise<void> {
  for (const part of parts) if (!socket.write(part)) await once(socket, 'drain');
}

/** How many bytes the system has taken from a socket when it takes no more. */
async function takenBy(socket: Socket, base: number): Promise<number> {
  let before = -1;
  for (;;) {
    const taken = socket.bytesWritten - socket.writableLength - base;
    if (taken === before) return taken;
    before = taken;
    await sleep(500);
  }
}

function* rowsOf(count: number, row: (i: number) => string): Generator<Buffer> {
  for (let i = 1; i <= count; i += 1) yield message('d', row(i));
  yield message('c');
}

/** Hundreds of megabytes take 50 s beside one busy process. */
const LIMIT = { timeout: 300_000 };

describe.skipIf(!hasProc).concurrent('the gateway', LIMIT, () => {
  test('gives 1 GB to a reader that stops for 20 s byte for byte, and its memory stays flat', async () => {
    const sql = `copy (${ROW.replace('$rows', '16384')}) to stdout`;
    const { gateway, socket, answer } = await prepared('reader');
    gateway.forgetPeak();
    const before = gateway.memory.now;
    socket.write(query(sql));
    while (answer.bytes < 64 * MIB) await once(socket, 'data');
    socket.pause();
    await expect.poll(() => waitsFor('ClientWrite', 'reader')).toBe(true);
    const { peak: running } = gateway.memory;
    gateway.forgetPeak();
    const { bytes } = answer;
    const [expected] = await Promise.all([directSum(sql), sleep(20_000)]);
    const { now: stalled } = gateway.memory;
    expect(answer.bytes).toBe(bytes);
    socket.resume();
    expect(await answer.complete).toBe(expected);
    expect(answer.bytes).toBeGreaterThan(1024 * MIB);
    // What waits for a reader is still there at the end of its stop; the collector's own work, which begins in it, is not.
    expect(stalled - running).toBeLessThan(MIB);
    expect(Math.max(running, gateway.memory.peak) - before).toBeLessThan(FLAT);
    socket.destroy();
  });

  test('takes 256 MB in, holds its client back while the server stands still, and loses nothing', async () => {
    const { gateway, socket, answer } = await prepared('writer');
    const lock = await openAs(postgres, 'postgres', 'reader');
    lock.channel.resume();
    lock.channel.write(query('select pg_advisory_lock(1)'));
    gateway.forgetPeak();
    const before = gateway.memory.now;
    const base = socket.bytesWritten;
    socket.write(query('copy arrived from stdin'));
    const poured = pour(
      socket,
      rowsOf(4_096, (i) => `${i}\t${String(i % 10).repeat(65_536)}\n`),
    );
    await expect.poll(() => waitsFor('advisory', 'writer')).toBe(true);
    expect(await takenBy(socket, base)).toBeLessThan(IN_SOCKETS);
    await sleep(LOCKED_MS);
    lock.close();
    await poured;
    await answer.complete;
    expect(answer.messages).toMatchObject({ G: 1, C: 1, Z: 1 });
    const whole = 'payload = repeat((i % 10)::text, 65536)';
    const rows = await postgres.sql(`select count(distinct i)::int as n from arrived where ${whole}`);
    expect(rows).toEqual([{ n: 4_096 }]);
    expect(gateway.memory.peak - before).toBeLessThan(FLAT);
    socket.destroy();
  });

  test('does not deadlock when the server shouts during a large COPY in', async () => {
    const { gateway, socket, answer } = await prepared('writer');
    gateway.forgetPeak();
    const before = gateway.memory.now;
    socket.write(query('copy loud from stdin'));
    await pour(
      socket,
      rowsOf(16_384, (i) => `${'x'.repeat(4_096)}${i}\n`),
    );
    await answer.complete;
    expect(answer.messages).toMatchObject({ G: 1, N: 16_384, C: 1, Z: 1 });
    expect(gateway.memory.peak - before).toBeLessThan(FLAT);
    socket.destroy();
  });
});

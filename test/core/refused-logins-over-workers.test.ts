/** A server that refuses logins, or is down, sees as many attempts of three workers as of one process. */
import net from 'node:net';
import { once } from 'node:events';
import { Client } from 'pg';
import { afterEach, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../core/contract/database.ts';
import type { Coordination } from '../../core/workers/coordination.ts';
import { SingleProcess } from '../../core/workers/single-process.ts';
import { countingProxy } from '../support/counting-proxy.ts';
import { databaseOf, GOOD_TOKEN, mapTo, startWorker } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { linkWorkers } from '../support/worker-links.ts';

const postgres = sharedPostgres();
const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** The ports of the workers; with one there is no channel. */
async function portsOf(count: number, main: DatabaseOptions): Promise<readonly number[]> {
  const linked = count === 1 ? undefined : linkWorkers(count);
  const all: readonly Coordination[] = linked?.links ?? [new SingleProcess()];
  closing.push(() => linked?.close());
  const ports: number[] = [];
  for (const one of all) {
    const { gateway, port } = await startWorker({ plugins: [mapTo('reader')], databases: { main } }, one);
    closing.push(() => gateway.stop());
    ports.push(port);
  }
  return ports;
}

/** The SQLSTATE of the refusal, or `in`. */
async function logIn(port: number): Promise<string> {
  const client = new Client({ host: '127.0.0.1', port, user: 'a', database: 'main', password: GOOD_TOKEN });
  try {
    await client.connect();
    await client.end();
    return 'in';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

test.each([1, 3])('with %i workers refused credentials are shown to the server once', async (count) => {
  const proxy = await countingProxy(postgres);
  closing.push(() => proxy.close());
  const login = { kind: 'password', passwords: { reader: 'not the password' } } as const;
  const ports = await portsOf(count, databaseOf(postgres, { host: proxy.host, port: proxy.port, login }));
  const said: string[] = [];
  for (let n = 0; n < 6; n += 1) said.push(await logIn(ports[n % count] ?? 0));
  expect(said).toEqual(Array.from({ length: 6 }, () => '08004'));
  expect(proxy.count()).toBe(1);
});

test.each([1, 3])('with %i workers a server that is down is tried with pauses', async (count) => {
  const attempts: number[] = [];
  const server = net.createServer((socket) => {
    attempts.push(performance.now());
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => void server.close());
  const { port } = server.address() as net.AddressInfo;
  const ports = await portsOf(count, databaseOf(postgres, { host: '127.0.0.1', port }));
  const over = new AbortController();
  const clients = ports.flatMap((to) =>
    [1, 2].map(async () => {
      while (!over.signal.aborted) await logIn(to);
    }),
  );
  await expect.poll(() => attempts.length).toBeGreaterThanOrEqual(14);
  over.abort();
  await Promise.all(clients);
  // From the sixth failure on a pause is 250 ms at least. Openings that began together end together.
  const late = attempts.slice(10, 14);
  expect((late.at(-1) ?? 0) - (late[0] ?? 0)).toBeGreaterThan(3 * 250 - 50);
});

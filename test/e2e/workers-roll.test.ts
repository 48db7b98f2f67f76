/** SIGUSR2: workers are replaced one after the other, and no client is refused. */
import { once } from 'node:events';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { hasProc, prepareCheckout } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import { workerGateways } from '../support/worker-gateway.ts';
import { workerPids } from '../support/worker-processes.ts';

const postgres = sharedPostgres();

describe.runIf(hasProc)('with two workers', () => {
  const gateways = workerGateways(postgres);

  test('each is replaced, logins are answered all the time, and a transaction is finished', async () => {
    const running = await gateways.start();
    const before = workerPids(running);
    const held = await Promise.all(Array.from({ length: 4 }, () => running.login()));
    for (const one of held) await one.query('begin');
    running.gateway.signal('SIGUSR2');
    await running.gateway.linesWhen('retiring', 1);
    const logins: number[] = [];
    // What each client has heard first when its session ended.
    const ends = new Map<object, string | undefined>();
    for (const one of held) {
      one.on('error', (error) => ends.has(one) || ends.set(one, (error as { code?: string }).code));
      await one.query('commit');
    }
    while (running.gateway.lines('the workers are replaced').length === 0) {
      const client = await running.login();
      const { rows } = await client.query<{ one: number }>('select 1 as one');
      logins.push(rows[0]?.one ?? 0);
      await client.end();
    }
    expect(logins.length).toBeGreaterThan(10);
    const after = workerPids(running);
    expect(after).toHaveLength(2);
    for (const pid of after) expect(before).not.toContain(pid);
    expect(running.gateway.lines('a worker has ended')).toEqual([]);
    expect(running.gateway.lines('retiring').map(({ worker }) => worker)).toEqual([2, 1]);
    running.gateway.signal('SIGTERM');
    expect(await running.gateway.ended()).toBe(0);
    expect([...ends.values()]).toEqual(held.map(() => '57P01'));
  }, 120_000);
});

describe.runIf(hasProc)('with two workers, where clients and balancers come at every moment', () => {
  const gateways = workerGateways(postgres);

  test('who was accepted before logs in although its worker is to go, and every readiness check is answered', async () => {
    const running = await gateways.start({ more: 'admin: { port: 0 },' });
    const { port, host } = running.address();
    // More than one for each worker, whichever accepts.
    const early = Array.from({ length: 6 }, () => net.connect({ port, host }));
    await Promise.all(early.map((socket) => once(socket, 'connect')));
    await (await running.login()).end();
    running.gateway.signal('SIGUSR2');
    await running.gateway.linesWhen('retiring', 1);
    const adminPort = Number(running.gateway.lines('admin listening').at(-1)?.['port']);
    const checked = new Map<number | undefined, number>();
    let sentences = '';
    const clients = early.map((socket) => logInBy(socket, running.address()));
    while (running.gateway.lines('the workers are replaced').length === 0) {
      const [response] = (await once(
        get({ port: adminPort, path: '/readyz?verbose', agent: false }),
        'response',
      )) as [IncomingMessage];
      sentences += await text(response);
      checked.set(response.statusCode, (checked.get(response.statusCode) ?? 0) + 1);
    }
    expect([...checked.keys()]).toEqual([200]);
    expect(sentences).toContain('worker 2: leaving: another process takes its place');
    expect(await Promise.all(clients)).toEqual(early.map(() => 1));
    expect(running.gateway.lines('refused')).toEqual([]);
  }, 120_000);
});

/** A statement over a connection that was there before. */
async function logInBy(socket: net.Socket, address: ClientConfig): Promise<unknown> {
  const connect = (): void => void setImmediate(() => socket.emit('connect'));
  const client = new Client({ ...address, stream: () => Object.assign(socket, { connect }) });
  client.on('error', () => {});
  await client.connect();
  const { rows } = await client.query<{ one: number }>('select 1 as one');
  await client.end();
  return rows[0]?.one;
}

describe('with one worker', () => {
  beforeAll(prepareCheckout, 120_000);

  test('it says that it needs two, and goes on', async () => {
    const running = await startTokenGateway(postgres, { more: 'workers: 1,' });
    onTestFinished(() => running.gateway.remove());
    running.gateway.signal('SIGUSR2');
    const [line] = await running.gateway.linesWhen('the workers are not replaced', 1);
    expect(line?.['reason']).toContain('workers: 2');
    await (await running.login()).end();
  });
});

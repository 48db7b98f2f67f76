/** A gateway with several workers under what operators and the system do to its processes, and with each kind of listener. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { hasProc } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { lineV1 } from '../support/proxy-headers.ts';
import { SSL_REQUEST } from '../support/raw-client.ts';
import type { TokenGateway } from '../support/token-gateway.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import { workerGateways } from '../support/worker-gateway.ts';
import { isAlive } from '../support/processes.ts';
import { allReady, pidOf, untilBothServe, workerPids } from '../support/worker-processes.ts';

const postgres = sharedPostgres();
const folder = mkdtempSync(join(tmpdir(), 'postern-workers-'));
const { start } = workerGateways(postgres);
let files: Certificates;

beforeAll(async () => {
  files = await certificates();
});
afterAll(() => rmSync(folder, { recursive: true }));

const open = new Set<net.Socket>();
afterEach(() => {
  for (const socket of open) socket.destroy();
  open.clear();
});

/** What the gateway answers to the question whether it takes TLS; '' where it closes. The connection stays for the whole test where `stay` says so. */
function hello(port: number, { stay = false } = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(SSL_REQUEST));
    open.add(socket);
    socket.once('data', (data) => {
      resolve(String(data));
      if (!stay) socket.destroy();
    });
    socket.once('error', () => resolve(''));
    socket.once('close', () => resolve(''));
  });
}

const hellos = (port: number, count: number, how?: { readonly stay: boolean }): Promise<string[]> =>
  Promise.all(Array.from({ length: count }, () => hello(port, how)));

const workersOf = (gateway: TokenGateway): readonly number[] =>
  gateway.gateway
    .lines('login')
    .map((line) => Number(line['worker']))
    .toSorted((a, b) => a - b);

/** So many descriptors, and no number from there on. */
const limitTo = (pid: number, most: number): void =>
  void execFileSync('prlimit', ['--pid', String(pid), `--nofile=${most}:`]);

/** The number that its next descriptor has. */
function lowestFree(pid: number): number {
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let lowest = 0;
  while (used.has(lowest)) lowest += 1;
  return lowest;
}

describe.runIf(hasProc)('two workers', () => {
  test('300 clients that come while a worker is killed are all answered', async () => {
    const gateway = await start();
    process.kill(pidOf(gateway, 1), 'SIGKILL');
    expect(new Set(await hellos(gateway.gateway.port, 300))).toEqual(new Set(['N']));
    await allReady(gateway, 3);
  });

  test('a worker that has no descriptor left loses no client', async () => {
    const gateway = await start();
    const pid = pidOf(gateway, 1);
    // Numbers of descriptors are given from the lowest: few are left.
    limitTo(pid, readdirSync(`/proc/${pid}/fd`).length + 4);
    const clients = await hellos(gateway.gateway.port, 60, { stay: true });
    expect(new Set(clients)).toEqual(new Set(['N']));
    const lost = 'a worker has no descriptor left: others accept in its place';
    expect(gateway.gateway.lines(lost).length).toBeGreaterThan(0);
    limitTo(pid, 4_096);
    expect(new Set(await hellos(gateway.gateway.port, 20))).toEqual(new Set(['N']));
    expect(workerPids(gateway)).toContain(pid);
  });

  test('a worker whose descriptors run out while it has the socket returns it, and no client is lost after that', async () => {
    const gateway = await start();
    await gateway.login();
    await expect.poll(() => workersOf(gateway)).toHaveLength(1);
    const [serving] = workersOf(gateway);
    // It has fewer connections, so the next one is to come to it.
    const pid = pidOf(gateway, serving === 1 ? 2 : 1);
    await sleep(500);
    limitTo(pid, lowestFree(pid));
    const lost = 'a worker has no descriptor left: others accept in its place';
    await expect.poll(() => gateway.gateway.lines(lost)).toMatchObject([{ worker: serving === 1 ? 2 : 1 }]);
    expect(new Set(await hellos(gateway.gateway.port, 30, { stay: true }))).toEqual(new Set(['N']));
    // Without one in the other either they wait, and nobody is closed.
    const other = pidOf(gateway, Number(serving));
    limitTo(other, lowestFree(other));
    await expect.poll(() => gateway.gateway.lines(lost).length).toBe(2);
    const waiting = hellos(gateway.gateway.port, 30, { stay: true });
    await sleep(1_500);
    limitTo(other, 4_096);
    expect(new Set(await waiting)).toEqual(new Set(['N']));
    limitTo(pid, 4_096);
    const before = readdirSync(`/proc/${pid}/fd`).length;
    // It is spared for a while: the first that come may all go to the other one.
    const opened = async (): Promise<number> => {
      await hellos(gateway.gateway.port, 10, { stay: true });
      return readdirSync(`/proc/${pid}/fd`).length;
    };
    await expect.poll(opened, { interval: 500, timeout: 60_000 }).toBeGreaterThan(before);
    expect(workerPids(gateway)).toEqual(expect.arrayContaining([pid, other]));
  });

  test('a parent that has no descriptor left loses no client: it accepts none itself', async () => {
    const gateway = await start();
    const { pid, port } = gateway.gateway;
    limitTo(pid, lowestFree(pid));
    expect(new Set(await hellos(port, 60))).toEqual(new Set(['N']));
    limitTo(pid, 4_096);
    expect(new Set(await hellos(port, 20))).toEqual(new Set(['N']));
    expect(gateway.gateway.lines('a worker has ended')).toEqual([]);
  });

  test('where two workers die behind clients of one address, its next waits, and clients of others do not', async () => {
    const gateway = await start({
      plugins: `{
        name: 'weak',
        onStartup({ startup: { parameters } }) {
          if (parameters['application_name'] === 'abort') process.abort();
          if (parameters['application_name'] === 'exit') process.exit(3);
        },
      },`,
    });
    const from = async (localAddress: string, application_name: string): Promise<void> => {
      const stream = new net.Socket();
      const connect = stream.connect.bind(stream) as (options: net.TcpNetConnectOpts) => net.Socket;
      stream.connect = ((port: number, host: string) =>
        connect({ port, host, localAddress })) as typeof stream.connect;
      const client = await gateway.login('reader', { stream: () => stream, application_name });
      await client.query('select 1');
    };
    // It is in one worker, so that those which die have seen the other address only.
    await from('127.0.0.1', 'good');
    await expect(from('127.0.0.2', 'abort')).rejects.toThrow('terminated');
    await allReady(gateway, 3);
    await expect(from('127.0.0.2', 'exit')).rejects.toThrow('terminated');
    await allReady(gateway, 4);
    const ends = gateway.gateway.lines('a worker has ended');
    expect(ends).toMatchObject([{ signal: 'SIGABRT' }, { code: 3 }]);
    const late = from('127.0.0.2', 'good');
    const held = 'workers died behind clients of this address: it waits';
    await expect.poll(() => gateway.gateway.lines(held)).toMatchObject([{ address: '127.0.0.2' }]);
    await from('127.0.0.1', 'good');
    // Both of the other address are there, and this one is not yet.
    await expect.poll(() => gateway.gateway.lines('login').length).toBeGreaterThanOrEqual(2);
    expect(gateway.gateway.lines('login')).toHaveLength(2);
    await late;
  });

  test('signals that reach the workers too, as those of a terminal, change nothing: the parent drains', async () => {
    const gateway = await start({ more: `drainTimeout: '20s',` });
    const clients = [await gateway.login(), await gateway.login()];
    for (const client of clients) await client.query('begin');
    const pids = workerPids(gateway);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      for (const pid of pids) process.kill(pid, signal);
    for (const client of clients) await client.query('select 1');
    for (const pid of [...pids, gateway.gateway.pid]) process.kill(pid, 'SIGINT');
    await expect.poll(() => gateway.gateway.lines('draining').length).toBe(3);
    for (const client of clients) await client.query('commit');
    expect(await gateway.gateway.ended()).toBe(0);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(gateway.gateway.lines('a worker has ended')).toEqual([]);
  });

  test('a SIGTERM right behind the death of a worker, or just before it is noticed, has the others drain: 0', async () => {
    const gateway = await start({ more: `drainTimeout: '50s',` });
    const clients = [await gateway.login(), await gateway.login()];
    for (const client of clients) await client.query('begin');
    process.kill(pidOf(gateway, 1), 'SIGKILL');
    gateway.gateway.signal('SIGTERM');
    await expect.poll(() => gateway.gateway.lines('a worker has ended').length).toBe(1);
    const commits = await Promise.allSettled(clients.map((client) => client.query('commit')));
    expect(commits.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(await gateway.gateway.ended()).toBe(0);
  });

  test('a worker that dies while it drains makes the exit code 1', async () => {
    const gateway = await start({ more: `drainTimeout: '50s',` });
    await (await gateway.login()).query('begin');
    gateway.gateway.signal('SIGTERM');
    await expect.poll(() => gateway.gateway.lines('draining').length).toBe(3);
    // The other one may have ended already.
    process.kill(pidOf(gateway, workersOf(gateway)[0] ?? 0), 'SIGKILL');
    expect(await gateway.gateway.ended()).toBe(1);
  });

  test('a worker that does not read its messages is killed before it has the parent keep them all', async () => {
    const gateway = await start({
      plugins: `{
        name: 'noisy',
        async setup(gateway) { this.board = await gateway.board('noise'); },
        onStartup(session) { void this.board.put(session.id, 'x'.repeat(200_000)); },
      },`,
    });
    const [first, second] = [pidOf(gateway, 1), pidOf(gateway, 2)];
    process.kill(second, 'SIGSTOP');
    await sleep(1_000);
    for (let i = 0; i < 12; i += 1) await (await gateway.login()).end();
    const killed = 'a worker does not read its messages: it is killed';
    await expect.poll(() => gateway.gateway.lines(killed)).toHaveLength(1);
    await allReady(gateway, 3);
    expect(workerPids(gateway)).toContain(first);
    expect(workerPids(gateway)).not.toContain(second);
    await (await gateway.login()).query('select 1');
  });

  test('a second signal ends all workers without waiting for a transaction', async () => {
    const gateway = await start({ more: `drainTimeout: '50s',` });
    await (await gateway.login()).query('begin');
    gateway.gateway.signal('SIGTERM');
    await expect.poll(() => gateway.gateway.lines('draining').length).toBe(3);
    await sleep(400);
    gateway.gateway.signal('SIGTERM');
    expect(await gateway.gateway.ended()).toBe(0);
  });

  test('a worker that loads its config when the parent is killed does not outlive it', async () => {
    const gateway = await start({
      before: `import { existsSync } from 'node:fs';
if (existsSync('slow')) await new Promise((resolve) => setTimeout(resolve, 60_000));`,
      more: `drainTimeout: '1s',`,
    });
    const first = pidOf(gateway, 1);
    writeFileSync(join(gateway.gateway.folder, 'slow'), '');
    process.kill(first, 'SIGKILL');
    await expect.poll(() => workerPids(gateway).filter((pid) => pid !== first)).toHaveLength(2);
    // It is in the middle of the load by then.
    await sleep(3_000);
    const pids = workerPids(gateway);
    expect(pids).toHaveLength(2);
    gateway.gateway.signal('SIGKILL');
    await expect.poll(() => pids.filter(isAlive)).toEqual([]);
  });

  test('a unix socket is the parent’s: both workers serve it, and it outlives them', async () => {
    const gateway = await start({ listen: `path: '${folder}', port: 6432, mode: 0o600` });
    const at = { host: folder, port: 6432 };
    await untilBothServe(gateway, async () => (await gateway.login('reader', at)).query('select 1'));
    process.kill(pidOf(gateway, 1), 'SIGKILL');
    await (await gateway.login('reader', at)).query('select 1');
    await expect.poll(() => gateway.gateway.lines('a worker has ended').length).toBe(1);
    // The successor is told to end while it loads.
    gateway.gateway.signal('SIGTERM');
    expect(await gateway.gateway.ended()).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('TLS behind a PROXY header works in both workers', async () => {
    const { certFile, keyFile } = files.server;
    const gateway = await start({
      listen: `tls: { cert: '${certFile}', key: '${keyFile}' }, proxyProtocol: { trusted: ['127.0.0.0/8'] }`,
    });
    const opened = await untilBothServe(gateway, async () => {
      const stream = new net.Socket();
      stream.prependOnceListener('connect', () =>
        stream.write(lineV1('PROXY TCP4 192.0.2.7 192.0.2.8 4711 6432')),
      );
      const client = await gateway.login('reader', {
        stream: () => stream,
        ssl: { rejectUnauthorized: false },
      });
      await client.query('select 1');
    });
    const lines = JSON.stringify(gateway.gateway.lines('login'));
    expect(lines.match(/192\.0\.2\.7/g)).toHaveLength(opened.length);
  });
});

test('a config with a mistake ends the start before any worker', async () => {
  const wrong = startTokenGateway(postgres, { more: `workers: 99,` });
  await expect(wrong).rejects.toThrow(/workers: expected 'auto' or a whole number from 1 to 63, got 99/);
});

/** A gateway with several workers, as processes: clients, deaths, hangs, the end. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { hasProc } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import type { TokenGateway } from '../support/token-gateway.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import { workerGateways } from '../support/worker-gateway.ts';
import { isAlive } from '../support/processes.ts';
import { allReady, untilBothServe, workerPids } from '../support/worker-processes.ts';

const postgres = sharedPostgres();
const { begin } = workerGateways(postgres);

async function logIn(gateway: TokenGateway, count: number): Promise<readonly Client[]> {
  return Promise.all(Array.from({ length: count }, () => gateway.login()));
}

async function answers(clients: readonly Client[]): Promise<number> {
  const asked = await Promise.allSettled(clients.map((client) => client.query('select 1')));
  return asked.filter(({ status }) => status === 'fulfilled').length;
}

/** Descriptors of unix sockets, as channels between processes are, but for those of standard output and error. */
function channelsOf(pid: number): readonly string[] {
  const inodes = new Set(
    readFileSync(`/proc/${pid}/net/unix`, 'utf8')
      .split('\n')
      .map((line) => line.split(/\s+/)[6]),
  );
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(targetOf(`/proc/${pid}/fd/${fd}`)) ?? [];
    return Number(fd) > 2 && inode !== undefined && inodes.has(inode);
  });
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}

test.runIf(hasProc)('one worker makes no second process and sends no message', async () => {
  const gateway = await begin(1, {
    before: `import { writeFileSync } from 'node:fs';
import childProcess from 'node:child_process';
writeFileSync('channel', String(process.channel));
for (const name of ['fork', 'spawn', 'exec', 'execFile'] as const)
  (childProcess as Record<string, unknown>)[name] = () => { throw new Error('a second process'); };`,
    more: 'admin: { port: 0 },',
  });
  const { pid } = gateway.gateway;
  const clients = await logIn(gateway, 4);
  expect(await answers(clients)).toBe(4);
  gateway.gateway.signal('SIGHUP');
  await expect.poll(() => gateway.gateway.lines('reloaded').length).toBe(1);
  expect(readFileSync(join(gateway.gateway.folder, 'channel'), 'utf8')).toBe('undefined');
  expect(workerPids(gateway)).toEqual([]);
  expect(channelsOf(pid)).toEqual([]);
  expect(gateway.gateway.lines('login').map(({ worker }) => worker)).toEqual(Array(4).fill(undefined));
  expect(gateway.gateway.log).not.toContain('worker ready');
});

test.runIf(hasProc)('what looks for such a process finds the channels of two', async () => {
  const gateway = await begin(2);
  await allReady(gateway, 2);
  expect(workerPids(gateway)).toHaveLength(2);
  // And the pipes by which they write.
  expect(channelsOf(gateway.gateway.pid).length).toBeGreaterThanOrEqual(2);
});

describe.runIf(hasProc)('two workers', () => {
  test('both serve clients, and a SIGTERM to the parent ends all in order', async () => {
    const gateway = await begin(2);
    await allReady(gateway, 2);
    const clients = (await untilBothServe(gateway, () => logIn(gateway, 1))).flat();
    expect(await answers(clients)).toBe(clients.length);
    const pids = workerPids(gateway);
    expect(pids).toHaveLength(2);
    gateway.gateway.signal('SIGTERM');
    expect(await gateway.gateway.ended()).toBe(0);
    expect(pids.filter(isAlive)).toEqual([]);
  });

  test('an open transaction is waited for', async () => {
    const gateway = await begin(2, { more: `drainTimeout: '20s',` });
    await allReady(gateway, 2);
    const clients = await logIn(gateway, 4);
    for (const client of clients) await client.query('begin');
    gateway.gateway.signal('SIGTERM');
    await expect.poll(() => gateway.gateway.lines('draining').length).toBe(3);
    for (const client of clients) await client.query('commit');
    expect(await gateway.gateway.ended()).toBe(0);
  });

  test('a worker that is killed takes its own sessions only, and clients that come meanwhile are served', async () => {
    const gateway = await begin(2, { database: 'pool: { size: 80 },' });
    await allReady(gateway, 2);
    const clients = await logIn(gateway, 20);
    expect(await answers(clients)).toBe(20);
    const [first = 0] = workerPids(gateway);
    process.kill(first, 'SIGKILL');
    const late = await logIn(gateway, 30);
    expect(await answers(late)).toBe(30);
    const others = gateway.gateway
      .lines('login')
      .slice(0, 20)
      .filter((line) => line['worker'] === 2);
    expect(await answers(clients)).toBe(others.length);
    await allReady(gateway, 3);
    const later = await logIn(gateway, 10);
    expect(await answers(later)).toBe(10);
    expect(workerPids(gateway)).toHaveLength(2);
    gateway.gateway.signal('SIGTERM');
    expect(await gateway.gateway.ended()).toBe(0);
  });

  test('a worker that hangs gets no clients, and is killed in the end', { timeout: 60_000 }, async () => {
    const gateway = await begin(2);
    await allReady(gateway, 2);
    const [first = 0] = workerPids(gateway);
    process.kill(first, 'SIGSTOP');
    // Three beats later it is known to hang.
    await sleep(1_500);
    expect(await answers(await logIn(gateway, 10))).toBe(10);
    await expect
      .poll(() => gateway.gateway.lines('a worker gives no sign of life: it is killed').length)
      .toBe(1);
    await allReady(gateway, 3);
    expect(await answers(await logIn(gateway, 6))).toBe(6);
  });

  test('when the parent is killed, the workers drain and end', { timeout: 60_000 }, async () => {
    const gateway = await begin(2, { more: `drainTimeout: '1s',` });
    await allReady(gateway, 2);
    await logIn(gateway, 4);
    const pids = workerPids(gateway);
    gateway.gateway.signal('SIGKILL');
    await expect.poll(() => pids.filter(isAlive)).toEqual([]);
  });

  test('admin is answered by the lead, and by its successor', async () => {
    const gateway = await begin(2, { more: 'admin: { port: 0 },' });
    await allReady(gateway, 2);
    const port = Number(gateway.gateway.lines('admin listening')[0]?.['port']);
    const readyz = async (): Promise<number> => (await fetch(`http://127.0.0.1:${port}/readyz`)).status;
    await (await gateway.login()).query('select 1');
    await expect.poll(readyz).toBe(200);
    const [first = 0] = workerPids(gateway);
    process.kill(first, 'SIGKILL');
    await expect.poll(() => readyz().catch(() => 0)).toBe(200);
  });

  test('what keeps workers from starting is said once, and the exit code is 1', async () => {
    const failing = begin(2, {
      plugins: `{ name: 'never', setup() { throw new Error('the moon is not full'); } },`,
    });
    await expect(failing).rejects.toThrow(/the moon is not full/);
  });
});

test('a port that is in use stops the start before any worker', async () => {
  const first = await begin(1);
  const second = startTokenGateway(postgres, { listen: `port: ${first.gateway.port},`, more: 'workers: 2,' });
  await expect(second).rejects.toThrow(/is in use by another program/);
  await sleep(0);
});

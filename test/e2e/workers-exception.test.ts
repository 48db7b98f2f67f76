/** An exception that nobody catches in one of two workers: its own sessions end, and nobody else notices. */
import { readdirSync } from 'node:fs';
import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import type { LogLine } from '../support/gateway.ts';
import { hasProc } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import type { TokenGateway } from '../support/token-gateway.ts';
import { workerGateways } from '../support/worker-gateway.ts';
import { allReady, pidOf, untilBothServe, workerPids } from '../support/worker-processes.ts';

const postgres = sharedPostgres();
const { start } = workerGateways(postgres);
const SIZE = 4;

/** Throws where no plugin is at work, when the signal comes. */
const THROWING = `process.on('SIGUSR2', () => { throw new Error('the moon is full'); });`;

/** A session with a transaction in it, and what its client is told at its end. */
interface Held {
  readonly client: Client;
  readonly told: string[];
}

async function held(gateway: TokenGateway): Promise<Held> {
  const client = await gateway.login();
  const told: string[] = [];
  client.on('error', (error: Error & { code?: string }) => told.push(`${error.code} ${error.message}`));
  await client.query('begin');
  return { client, told };
}

const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

describe.runIf(hasProc)('an uncaught exception in one of two workers', () => {
  test('ends its sessions with the reason, and no other; logins go on, its successor serves, and all is free again', async () => {
    const gateway = await start({ before: THROWING, database: `pool: { size: ${SIZE} },` });
    const log = (msg: string): readonly LogLine[] => gateway.gateway.lines(msg);
    const sessions = await untilBothServe(gateway, () => held(gateway));
    const of = (worker: number): Held => {
      const index = log('login').findIndex((line) => line['worker'] === worker);
      return sessions[index] ?? expect.fail(`worker ${worker} has no session`);
    };
    // One in each.
    for (const session of sessions) if (session !== of(1) && session !== of(2)) await session.client.end();
    const staying = pidOf(gateway, 2);
    const before = [gateway.gateway.pid, staying].map(descriptorsOf);
    process.kill(pidOf(gateway, 1), 'SIGUSR2');
    await expect.poll(() => log('uncaught exception').length).toBe(1);
    for (let i = 0; i < 10; i += 1) await (await gateway.login()).end();
    await expect.poll(() => of(1).told[0]).toBe('57P01 terminating connection: the gateway is shutting down');
    await allReady(gateway, 3);
    await of(2).client.query('commit');
    expect(of(2).told).toEqual([]);
    // The slots of the dead are free: all of the pool is in use at once.
    const later = await Promise.all(Array.from({ length: SIZE - 1 }, () => held(gateway)));
    expect(log('uncaught exception')).toMatchObject([
      { worker: 1, error: expect.stringContaining('the moon is full') as string },
    ]);
    expect(log('a worker has ended')).toMatchObject([{ worker: 1, code: 1 }]);
    for (const { client } of later) await client.end();
    await untilBothServe(gateway, async () => (await gateway.login()).end());
    await of(2).client.end();
    expect(workerPids(gateway)).toContain(staying);
    const now = (): number[] => [gateway.gateway.pid, staying].map(descriptorsOf);
    // The listening socket, which comes and goes, the lead's watch of the config's files, and a connection of the pool until it is idle for too long.
    await expect.poll(() => now().every((count, i) => count <= before[i]! + 2)).toBe(true);
    gateway.gateway.signal('SIGTERM');
    expect(await gateway.gateway.ended()).toBe(0);
  });
});

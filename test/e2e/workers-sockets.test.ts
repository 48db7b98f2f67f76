/** The sockets that a parent lends to its workers, at the end of either. */
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { hasProc } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { workerGateways } from '../support/worker-gateway.ts';
import { isAlive } from '../support/processes.ts';
import { pidOf, workerPids } from '../support/worker-processes.ts';

const postgres = sharedPostgres();
const { start } = workerGateways(postgres);

/** Resolves with the error's code where the address cannot be had. */
async function codeOfListening(port: number): Promise<string | undefined> {
  const server = net.createServer();
  const failed = once(server, 'error').then(([error]) => (error as NodeJS.ErrnoException).code);
  const listening = once(server.listen(port, '127.0.0.1'), 'listening').then(() => undefined);
  const code = await Promise.race([failed, listening]);
  server.close();
  return code;
}

describe.runIf(hasProc)('two workers', () => {
  test('tell every client that comes while they drain that they do', async () => {
    const gateway = await start({ more: `drainTimeout: '50s',` });
    const client = await gateway.login();
    await client.query('begin');
    gateway.gateway.signal('SIGTERM');
    await expect.poll(() => gateway.gateway.lines('draining').length).toBe(3);
    for (let i = 0; i < 6; i += 1) await expect(gateway.login()).rejects.toMatchObject({ code: '57P03' });
    await client.query('commit');
    expect(await gateway.gateway.ended()).toBe(0);
  });

  test('leave the address to the next parent at once when theirs is killed, while they drain', async () => {
    const gateway = await start({ more: `drainTimeout: '50s',` });
    const clients = [await gateway.login(), await gateway.login()];
    for (const client of clients) await client.query('begin');
    const { port } = gateway.gateway;
    const pids = workerPids(gateway);
    gateway.gateway.signal('SIGKILL');
    await expect.poll(() => codeOfListening(port)).toBeUndefined();
    expect(pids.filter(isAlive)).toHaveLength(2);
    for (const client of clients) await client.query('commit');
  });

  test('leave it as well where one of them hangs', { timeout: 60_000 }, async () => {
    const gateway = await start({
      plugins: `{
        name: 'stuck',
        onStartup({ startup: { parameters } }) {
          while (parameters['application_name'] === 'loop');
        },
      },`,
    });
    const { port } = gateway.gateway;
    const pids = workerPids(gateway);
    const stuck = gateway.login('reader', { application_name: 'loop' }).catch(() => {});
    // It loops by then, and the parent does not know yet.
    await sleep(1_000);
    gateway.gateway.signal('SIGKILL');
    await expect.poll(() => pids.filter(isAlive), { timeout: 30_000 }).toEqual([]);
    await stuck;
    expect(await codeOfListening(port)).toBeUndefined();
  });

  test('end at SIGTERM although a plugin of one is being set up', async () => {
    const gateway = await start({
      before: `import { existsSync, writeFileSync } from 'node:fs';`,
      plugins: `{
        name: 'slow',
        setup() {
          if (!existsSync('slow')) return undefined;
          writeFileSync('begun', '');
          return new Promise(() => {});
        },
      },`,
      more: `drainTimeout: '50s',`,
    });
    writeFileSync(join(gateway.gateway.folder, 'slow'), '');
    process.kill(pidOf(gateway, 1), 'SIGKILL');
    await expect.poll(() => existsSync(join(gateway.gateway.folder, 'begun'))).toBe(true);
    gateway.gateway.signal('SIGTERM');
    expect(await gateway.gateway.ended()).toBe(0);
  });

  test('keep no descriptor of what they were lent, nor does the parent', async () => {
    const gateway = await start();
    const of = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;
    const pids = [gateway.gateway.pid, pidOf(gateway, 1), pidOf(gateway, 2)];
    const rounds = async (): Promise<void> => {
      for (let i = 0; i < 40; i += 1) await (await gateway.login()).end();
    };
    await rounds();
    const before = pids.map(of);
    await rounds();
    // A server connection and a socket that is lent come and go.
    await expect.poll(() => pids.every((pid, i) => of(pid) <= before[i]! + 2)).toBe(true);
  });
});

/** Workers that are killed one after the other under load: the server never has more connections than the pool may have, and all come back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hasProc, prepareCheckout } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';
import { pidOf } from '../support/worker-processes.ts';

const postgres = sharedPostgres();
const DATABASE = 'workers_killed';
const SIZE = 4;
const KILLS = 4;
let running: TokenGateway | undefined;
let admin: Client;

beforeAll(prepareCheckout, 120_000);
beforeAll(async () => {
  const { host, port, superuser: user, password } = postgres;
  const first = new Client({ host, port, user, password, database: 'postgres' });
  await first.connect();
  await first.query(`create database ${DATABASE}`);
  await first.end();
  admin = new Client({ host, port, user, password, database: 'postgres' });
  await admin.connect();
  return async () => {
    await admin.query(`drop database ${DATABASE} with (force)`);
    await admin.end();
  };
});
afterEach(async () => {
  await running?.gateway.remove();
  running = undefined;
});

async function connections(): Promise<number> {
  const { rows } = await admin.query<{ count: string }>(
    `select count(*) from pg_stat_activity where datname = '${DATABASE}' and backend_type = 'client backend'`,
  );
  return Number(rows[0]?.count);
}

/** What clients have met. */
interface Met {
  /** How often each of them was answered. */
  readonly answered: number[];
  /** Sessions that were lost, by their subject, and how many workers had been killed by then. */
  readonly lost: { readonly subject: string; readonly kills: number }[];
  /** Whatever the gateway or the server has said: no client is to hear of a death but by the loss of its connection. */
  readonly errors: unknown[];
}

/** A client that comes again when it is thrown out. */
async function client(
  gateway: TokenGateway,
  number: number,
  { over, kills, met }: { readonly over: AbortSignal; readonly kills: readonly number[]; readonly met: Met },
): Promise<void> {
  met.answered[number] = 0;
  const failed = (error: unknown): void => {
    if (/^[0-9A-Z]{5}$/.test((error as { code?: string }).code ?? '')) met.errors.push(error);
  };
  for (let session = 0; !over.aborted; session += 1) {
    const subject = `${number}.${session}`;
    const password = gateway.issuer.sign({ role: 'reader', sub: subject });
    const one = await gateway.login('reader', { password }).catch(failed);
    if (!one) {
      await sleep(50);
      continue;
    }
    try {
      while (!over.aborted) {
        await one.query('select pg_sleep(0.005)');
        met.answered[number] += 1;
      }
    } catch (error) {
      failed(error);
      met.lost.push({ subject, kills: kills.length });
    }
    await one.end().catch(() => undefined);
  }
}

describe.runIf(hasProc)('with two workers and a pool of four connections', () => {
  test(
    'a worker that is killed every while breaks no limit, and leaves no connection behind',
    { timeout: 120_000 },
    async () => {
      running = await startTokenGateway(postgres, {
        database: `database: '${DATABASE}', pool: { mode: 'transaction', size: ${SIZE}, idleTimeout: '300ms' },`,
        more: 'workers: 2,',
      });
      const gateway = running;
      await expect.poll(() => gateway.gateway.lines('worker ready').length, { timeout: 60_000 }).toBe(2);
      const over = new AbortController();
      /** Numbers of the workers. */
      const kills: number[] = [];
      const met: Met = { answered: [], lost: [], errors: [] };
      const clients = Array.from({ length: 12 }, (_, number) =>
        client(gateway, number, { over: over.signal, kills, met }),
      );
      let most = 0;
      const sampled = (async () => {
        while (!over.signal.aborted) {
          most = Math.max(most, await connections());
          await sleep(20);
        }
      })();
      for (let kill = 0; kill < KILLS; kill += 1) {
        await sleep(1_000);
        kills.push(1 + (kill % 2));
        process.kill(pidOf(gateway, 1 + (kill % 2)), 'SIGKILL');
        await expect
          .poll(() => gateway.gateway.lines('worker ready').length, { timeout: 60_000 })
          .toBe(3 + kill);
      }
      await sleep(1_000);
      over.abort();
      await Promise.all(clients);
      await sampled;
      expect(most).toBeGreaterThan(1);
      expect(most).toBeLessThanOrEqual(SIZE);
      for (const count of met.answered) expect(count).toBeGreaterThan(0);
      expect(met.errors).toEqual([]);
      // Those that were lost were with the worker that was killed last; the log may lack its last lines.
      const workers = new Map(gateway.gateway.lines('login').map(({ subject, worker }) => [subject, worker]));
      expect(met.lost.length).toBeGreaterThan(0);
      for (const { subject, kills: before } of met.lost)
        expect([undefined, kills[before - 1]], subject).toContain(workers.get(subject));
      await expect.poll(connections).toBe(0);
      // All slots are there again: as many sessions hold a connection at once.
      const held = await Promise.all(Array.from({ length: SIZE }, () => gateway.login()));
      for (const one of held) await one.query('begin');
      expect(await connections()).toBe(SIZE);
      gateway.gateway.signal('SIGTERM');
      for (const one of held) await one.query('commit');
      expect(await gateway.gateway.ended()).toBe(0);
    },
  );
});

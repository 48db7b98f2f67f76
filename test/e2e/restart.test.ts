/** PostgreSQL is restarted under two hundred clients that come back at once: how the gateway comes back to PostgreSQL. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { databaseOf, mapTo, pgClient, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';

const CLIENTS = 200;
const SIZES = { transaction: 20, session: CLIENTS } as const;

let postgres: OwnPostgres;
let running: RunningGateway;

beforeAll(async () => {
  postgres = await startPostgres({ flags: { max_connections: '300' } });
  const entry = (mode: keyof typeof SIZES) =>
    databaseOf(postgres, { pool: { mode, size: SIZES[mode], queueTimeout: '60s' } });
  running = await startGateway({
    databases: { transaction: entry('transaction'), session: entry('session') },
    plugins: [mapTo('reader')],
    loginTimeout: '60s',
  });
});
afterAll(async () => {
  await running.gateway.stop();
  await postgres.stop();
});

interface Visitor {
  /** How often it was answered, and when last. */
  answers: number;
  errors: number;
}

/** An application that queries, and connects again when it has to, until it is told to stop. */
async function visit(visitor: Visitor, database: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const client = pgClient(running, database);
    try {
      await client.connect();
      while (!signal.aborted) {
        const { rows } = await client.query<{ who: string }>('select current_user::text as who');
        expect(rows).toEqual([{ who: 'reader' }]);
        visitor.answers += 1;
        await sleep(100);
      }
      await client.end();
    } catch (error) {
      // The server's words, or the gateway's while there is no server; never a wrong answer.
      expect(String((error as { code?: string }).code)).toMatch(
        /^(57P0[123]|08\d\d\d|ECONNRESET|undefined)$/,
      );
      visitor.errors += 1;
      await sleep(50);
    }
  }
}

/** When the server was there again, and when it was reached and left since, in milliseconds since the epoch, from its log behind `from`. */
function serverTimes(
  from: number,
): Record<'reached' | 'left', readonly number[]> & { readonly since: number } {
  const lines = postgres.log().slice(from).split('\n');
  const timesOf = (text: string): number[] =>
    lines
      .filter((line) => line.includes(text))
      .map((line) => Date.parse(line.slice(0, 23).replace(' ', 'T') + 'Z'));
  const since = timesOf('ready to accept connections').at(-1) ?? NaN;
  const sinceThen = (text: string): number[] => timesOf(text).filter((at) => at >= since);
  return { since, reached: sinceThen('connection received:'), left: sinceThen('disconnection:') };
}

test.each([
  ['transaction', 'SIGINT'],
  ['session', 'SIGKILL'],
] as const)(
  '%s mode: after %s and a start everybody is served, and nothing storms the server',
  async (mode, signal) => {
    const visitors = Array.from({ length: CLIENTS }, (): Visitor => ({ answers: 0, errors: 0 }));
    const stop = new AbortController();
    const visits = Promise.all(visitors.map((visitor) => visit(visitor, mode, stop.signal)));
    const all = (): boolean => visitors.every(({ answers }) => answers > 0);
    await expect.poll(all, { timeout: 60_000 }).toBe(true);
    const from = postgres.log().length;
    postgres.kill(signal);
    await expect.poll(() => visitors.every(({ errors }) => errors > 0) || mode === 'transaction').toBe(true);
    await postgres.restart();
    for (const visitor of visitors) visitor.answers = 0;
    await expect.poll(all, { timeout: 60_000, interval: 20 }).toBe(true);
    stop.abort();
    await visits;
    const logins = postgres.log().slice(from).split('connection authorized: user=reader').length - 1;
    const { since, reached, left } = serverTimes(from);
    // As many as are needed, and none because of another. A slot that moves to another worker closes a connection there and opens one here.
    const moved = workersOf() > 1 ? left.length : 0;
    expect(logins).toBeLessThanOrEqual(SIZES[mode] + moved);
    // A hundred a second of the gateway, and those of whoever looks whether the server is there. A busy machine accepts them later.
    const most = (at: number): number => 115 * (1 + (at - since) / 1_000);
    expect(reached.filter((at, before) => before >= most(at))).toEqual([]);
  },
  180_000,
);

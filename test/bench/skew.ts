/** A load that sits on one worker: 50 of 53 clients. Their pool is one over all workers, and the limit. */
import { issuerOf } from '../../core/connection/cancel-key-format.ts';
import { message } from '../support/raw-client.ts';
import { BenchClient } from './client.ts';
import type { Peer } from './peer.ts';
import { median } from './percentile.ts';
import type { Figures } from './table.ts';

/** Connections of the pool. */
export const SKEW_POOL = 20;
/** How long a statement takes in PostgreSQL, in milliseconds: 2 000 of them a second leave cores idle, so that the pool is the limit. */
const STATEMENT_MS = 10;
const STATEMENT = message('Q', `select pg_sleep(${STATEMENT_MS / 1_000})\0`);
const [MANY, ALL] = [50, 53];
/** Connections after which a gateway that gives a worker none is given up. */
const MOST = 1_000;

/** By worker, until the first has so many; those that are not needed stay idle. */
async function gather(peer: Peer, workers: number): Promise<readonly (readonly BenchClient[])[]> {
  const all = Array.from({ length: workers }, (): BenchClient[] => []);
  const [first] = all;
  const rest = Math.ceil((ALL - MANY) / Math.max(1, workers - 1));
  for (let n = 0; n < MOST; n += 1) {
    const client = await BenchClient.login(peer);
    const { processId, secret } = client.key;
    const issuer = workers === 1 ? { worker: 1 } : issuerOf(processId, secret);
    if (typeof issuer === 'object') all[issuer.worker - 1]?.push(client);
    const hasAll = all.every(({ length }) => length >= rest);
    if ((first?.length ?? 0) >= (workers === 1 ? ALL : MANY) && hasAll) return all;
  }
  throw new Error(`the clients of ${peer.name} do not reach all of its ${workers} workers`);
}

/** 50 of the first worker, and three of the others. */
function chosen([first = [], ...others]: readonly (readonly BenchClient[])[]): readonly BenchClient[] {
  if (others.length === 0) return first.slice(0, ALL);
  const inTurn = Array.from(
    { length: ALL - MANY },
    (_, n) => others[n % others.length]?.[Math.floor(n / others.length)],
  );
  return [...first.slice(0, MANY), ...inTurn.filter((client) => client !== undefined)];
}

/** Statements per second, and how long the clients have waited for a connection: the one that waited longest on average, and the median of the others. */
export async function skewed(peer: Peer, workers: number, seconds: number): Promise<Figures> {
  const crowd = await gather(peer, workers);
  const end = performance.now() + seconds * 1_000;
  const waits = await Promise.all(
    chosen(crowd).map(async (client) => {
      const begin = performance.now();
      let count = 0;
      for (; performance.now() < end; count += 1) await client.ask(STATEMENT);
      return { count, ms: (performance.now() - begin) / count - STATEMENT_MS };
    }),
  );
  for (const client of crowd.flat()) client.close();
  const sorted = waits.map(({ ms }) => ms).toSorted((one, other) => one - other);
  return {
    tps: waits.reduce((sum, { count }) => sum + count, 0) / seconds,
    longest: sorted.at(-1),
    others: median(sorted.slice(0, -1)),
    failed: 0,
  };
}

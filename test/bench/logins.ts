/** `npm run bench -- logins`: how long it takes to connect, log in, ask `select 1`, and close. */
import type { Backdrop } from './backdrop.ts';
import { BenchClient, SELECT_1 } from './client.ts';
import type { Benchmark, Options } from './command-line.ts';
import { cpuDuring } from './cost.ts';
import type { Peer } from './peer.ts';
import { percentile } from './percentile.ts';
import { inTurn, ROUNDS } from './rounds.ts';
import type { Figures, Row } from './table.ts';

/** A peer with what its clients present; none: its own password each time. */
interface Way {
  readonly name: string;
  readonly peer: Peer;
  readonly passwords?: (count: number) => readonly string[];
}

/** Most logins of a round: so many tokens are signed before it. */
const MOST = 1_000;
const WARM_UP = 50;
const AT_A_TIME = [1, 4];

async function waysOf(backdrop: Backdrop, { tls, with: variants }: Options): Promise<readonly Way[]> {
  const { peer } = await backdrop.gateway({ tls });
  const proven = await backdrop.gateway({ tls, scram: true, name: 'postern, password by SCRAM' });
  const [scram, trust] = [
    await backdrop.pgbouncer({ tls }),
    await backdrop.pgbouncer({ tls, auth: 'trust' }),
  ];
  const fresh = (
    of: Peer,
    what: string,
    ...how: [algorithm: 'ES256' | 'EdDSA' | 'RS256', people?: 'many']
  ): Way => ({
    name: `${of.name}, ${what}`,
    peer: of,
    passwords: (count) => backdrop.tokens(count, ...how),
  });
  return [
    { name: `${peer.name}, known token`, peer },
    fresh(peer, 'new token, ES256', 'ES256'),
    fresh(peer, 'new token, EdDSA', 'EdDSA'),
    fresh(peer, 'new token, RS256', 'RS256'),
    fresh(peer, 'new person, ES256', 'ES256', 'many'),
    ...(await backdrop.variants(variants, { tls })).flatMap((of) => [
      { name: `${of.name}, known token`, peer: of },
      fresh(of, 'new token, ES256', 'ES256'),
    ]),
    { name: proven.peer.name, peer: proven.peer },
    ...[scram?.peer, trust?.peer, backdrop.direct]
      .filter((other) => other !== undefined)
      .map((other) => ({ name: other.name, peer: other })),
  ];
}

async function login(peer: Peer, password: string): Promise<number> {
  const start = performance.now();
  const client = await BenchClient.login(peer, password);
  await client.ask(SELECT_1);
  const took = performance.now() - start;
  client.close();
  return took;
}

/** Logs in again and again, so many at a time, until the time or the passwords are used up. */
async function round(
  { peer, passwords }: Way,
  atATime: number,
  most: number,
  seconds: number,
): Promise<Figures> {
  const presented = passwords?.(most) ?? Array.from({ length: most }, () => peer.password);
  const took: number[] = [];
  let next = 0;
  const start = performance.now();
  const one = async (): Promise<void> => {
    while (next < most && performance.now() - start < seconds * 1_000)
      took.push(await login(peer, presented[next++]!));
  };
  const cpu = await cpuDuring(peer.pid, () => Promise.all(Array.from({ length: atATime }, one)));
  return {
    p50: percentile(took, 50),
    p95: percentile(took, 95),
    p99: percentile(took, 99),
    rate: took.length / ((performance.now() - start) / 1_000),
    cpu: cpu === undefined ? undefined : cpu / took.length,
  };
}

/** Connect, log in, ask, close. */
export const logins: Benchmark = {
  summary: 'how long a login with one query takes: by tokens known and new, and by the peers',
  options: { seconds: 9, with: 'policies', tls: false },
  async run(backdrop, options) {
    const ways = await waysOf(backdrop, options);
    const rows: Row[] = [];
    for (const atATime of AT_A_TIME) {
      const figures = await inTurn(
        ways,
        (way) => round(way, atATime, WARM_UP, 10),
        (way) => round(way, atATime, MOST, options.seconds / ROUNDS),
      );
      const load = atATime === 1 ? 'one after the other' : `${atATime} at a time`;
      rows.push(...ways.map(({ name }, i) => ({ load, peer: name, figures: figures[i]! })));
    }
    return {
      note: `connect, login, select 1, close; ${ROUNDS} rounds in turn of ${MOST} logins or ${(options.seconds / ROUNDS).toFixed(1)} s, medians`,
      columns: [
        { key: 'p50', title: 'p50 ms', digits: 2, against: ['PgBouncer'] },
        { key: 'p95', title: 'p95 ms', digits: 2 },
        { key: 'p99', title: 'p99 ms', digits: 2, against: ['PgBouncer'] },
        { key: 'rate', title: 'per second', against: ['PgBouncer', 'PgBouncer, trust', 'PostgreSQL'] },
        { key: 'cpu', title: 'CPU µs/login', digits: 0 },
      ],
      rows,
    };
  },
};

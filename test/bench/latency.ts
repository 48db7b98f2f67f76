/** `npm run bench -- latency`: how long one prepared select takes when nothing else goes on. */
import { message } from '../support/raw-client.ts';
import type { Backdrop } from './backdrop.ts';
import { BenchClient } from './client.ts';
import type { Benchmark, Options } from './command-line.ts';
import type { Peer } from './peer.ts';
import { percentile } from './percentile.ts';
import { inTurn, ROUNDS } from './rounds.ts';
import type { Figures } from './table.ts';

const SYNC = message('S');
const PARSE = Buffer.concat([message('P', 'one\0select $1::int\0\0\0'), SYNC]);
/** One parameter as text, the result as text (manual, 55.7). */
const BIND = message(
  'B',
  Buffer.concat([Buffer.from('\0one\0'), Buffer.from('00000001000000023432', 'hex'), Buffer.alloc(2)]),
);
const SELECT = Buffer.concat([BIND, message('E', Buffer.alloc(5)), SYNC]);
/** More than any machine manages in a second, times the longest round that anybody waits for. */
const MOST = 5_000_000;

async function peersOf(backdrop: Backdrop, { tls, with: variants }: Options): Promise<readonly Peer[]> {
  const gateways = [(await backdrop.gateway({ tls })).peer, ...(await backdrop.variants(variants, { tls }))];
  const bouncer = await backdrop.pgbouncer({ tls });
  return [...gateways, ...(bouncer ? [bouncer.peer] : []), backdrop.direct];
}

async function selects(peer: Peer, seconds: number): Promise<Figures> {
  const client = await BenchClient.login(peer);
  await client.ask(PARSE);
  const took: number[] = [];
  const end = performance.now() + seconds * 1_000;
  for (let now = performance.now(); now < end && took.length < MOST;) {
    await client.ask(SELECT);
    const then = performance.now();
    took.push((then - now) * 1_000);
    now = then;
  }
  client.close();
  return { p50: percentile(took, 50), p99: percentile(took, 99), count: took.length };
}

/** One client, one statement at a time. */
export const latency: Benchmark = {
  summary: 'how long one prepared select takes, one client, one at a time',
  options: { seconds: 9, with: '', tls: false },
  async run(backdrop, options) {
    const peers = await peersOf(backdrop, options);
    const seconds = options.seconds / ROUNDS;
    const figures = await inTurn(
      peers,
      (peer) => selects(peer, 1),
      (peer) => selects(peer, seconds),
    );
    return {
      note: `one prepared select at a time, 1 client; ${ROUNDS} rounds in turn, ${seconds.toFixed(1)} s each, medians`,
      columns: [
        { key: 'p50', title: 'p50 µs', digits: 1, against: ['PgBouncer', 'PostgreSQL'] },
        { key: 'p99', title: 'p99 µs', digits: 1, against: ['PgBouncer', 'PostgreSQL'] },
        { key: 'count', title: 'selects' },
      ],
      rows: peers.map((peer, i) => ({ load: 'select, prepared', peer: peer.name, figures: figures[i]! })),
    };
  },
};

/** `npm run bench -- workers`: gateways with one worker and with more, beside PgBouncer: what sessions and statements cost, parent process included. */
import { availableParallelism } from 'node:os';
import { executable } from '../support/executable.ts';
import type { Backdrop } from './backdrop.ts';
import type { Benchmark } from './command-line.ts';
import { fill } from './loads.ts';
import type { Peer } from './peer.ts';
import { pgbench } from './pgbench.ts';
import type { GatewayOptions } from './peers.ts';
import { inTurn, ROUNDS } from './rounds.ts';
import { SKEW_POOL, skewed } from './skew.ts';
import type { Row } from './table.ts';

interface Load {
  readonly name: string;
  readonly options: readonly string[];
  readonly opens: boolean;
  readonly tls: boolean;
}

const load = (name: string, options: string, { opens = false, tls = false } = {}): Load => ({
  name,
  options: options.split(' '),
  opens,
  tls,
});

const OPEN = '-S -C -c 8 -j 2';
const LOADS: readonly Load[] = [
  load('open, login, select, close, 8 clients', OPEN, { opens: true }),
  load('the same by TLS', OPEN, { opens: true, tls: true }),
  load('select, prepared, 16 clients', '-S -M prepared -c 16 -j 2'),
  load('the same selects by TLS', '-S -M prepared -c 16 -j 2', { tls: true }),
];

const ONE = 'postern, 1 worker';
const SKEW = '50 of 53 clients in one worker, 20 connections, 10 ms each, transaction mode';

interface Gateway {
  readonly peer: Peer;
  readonly count: number;
}

function gatewaysOf(
  backdrop: Backdrop,
  counts: readonly number[],
  options: GatewayOptions,
): Promise<readonly Gateway[]> {
  const begin = async (count: number): Promise<Gateway> => {
    const variant = { imports: '', plugins: '', more: `workers: ${count},` };
    const name = `postern, ${count} worker${count > 1 ? 's' : ''}`;
    const { peer } = await backdrop.gateway({ ...options, variant, name });
    return { peer, count };
  };
  return Promise.all(counts.map(begin));
}

async function peersOf(backdrop: Backdrop, tls: boolean): Promise<readonly Peer[]> {
  const counts = [...new Set([1, 2, availableParallelism()])];
  const gateways = (await gatewaysOf(backdrop, counts, { tls })).map(({ peer }) => peer);
  const bouncer = await backdrop.pgbouncer({ tls });
  return bouncer ? [...gateways, bouncer.peer] : gateways;
}

/** Throughput and waits where nearly all clients sit on one worker. */
async function skewRows(backdrop: Backdrop, seconds: number): Promise<readonly Row[]> {
  const gateways = await gatewaysOf(backdrop, [1, 2, 4], { mode: 'transaction', size: SKEW_POOL });
  const measure =
    (lasting: number) =>
    ({ peer, count }: Gateway) =>
      skewed(peer, count, lasting);
  const figures = await inTurn(gateways, measure(1), measure(seconds));
  return gateways.map(({ peer }, i) => ({ load: SKEW, peer: peer.name, figures: figures[i]! }));
}

/** Gateways with several workers. */
export const workers: Benchmark = {
  summary: 'sessions opened and statements run with one worker and with more',
  options: { seconds: 9, only: '' },
  async run(backdrop, options) {
    const program = executable('pgbench');
    if (program === undefined) throw new Error('pgbench is not installed (Debian: apt install postgresql)');
    await fill(program, backdrop);
    const seconds = Math.max(1, Math.round(options.seconds / ROUNDS));
    const rows: Row[] = SKEW.includes(options.only) ? [...(await skewRows(backdrop, seconds))] : [];
    const loads = LOADS.filter((one) => one.name.includes(options.only));
    const plain = loads.some(({ tls }) => !tls) ? await peersOf(backdrop, false) : [];
    const secured = loads.some(({ tls }) => tls) ? await peersOf(backdrop, true) : [];
    for (const { name, options: how, opens, tls } of loads) {
      const measured = tls ? secured : plain;
      const what = { program, opens, signal: backdrop.signal, options: how };
      const measure = (lasting: number) => (peer: Peer) => pgbench({ ...what, seconds: lasting }, peer);
      const figures = await inTurn(measured, measure(2), measure(seconds));
      rows.push(...measured.map((peer, i) => ({ load: name, peer: peer.name, figures: figures[i]! })));
    }
    return {
      note: `session mode, where nothing else is said; ${ROUNDS} rounds in turn, ${seconds} s each, medians; CPU is user + system time of parent and workers; pgbench and PostgreSQL run on the same cores`,
      columns: [
        { key: 'tps', title: 'tps', against: [ONE, 'PgBouncer'] },
        { key: 'cpu', title: 'CPU µs/transaction', digits: 1, against: [ONE, 'PgBouncer'] },
        { key: 'failed', title: 'failed' },
        { key: 'longest', title: 'longest mean wait ms', digits: 1 },
        { key: 'others', title: 'median of the others', digits: 1 },
      ],
      rows,
    };
  },
};

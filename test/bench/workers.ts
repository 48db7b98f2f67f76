/** `npm run bench -- workers`: gateways with one worker and with more, beside PgBouncer: what sessions and statements cost, parent process included. */
import { availableParallelism } from 'node:os';
import { executable } from '../support/executable.ts';
import type { Backdrop } from './backdrop.ts';
import type { Benchmark } from './command-line.ts';
import { imbalance } from './imbalance.ts';
import { fill } from './loads.ts';
import type { Peer } from './peer.ts';
import { pgbench, warmUp } from './pgbench.ts';
import type { GatewayOptions } from './peers.ts';
import { inTurn, ROUNDS } from './rounds.ts';
import { SKEW_POOL, skewed } from './skew.ts';
import type { Row } from './table.ts';

interface Load {
  readonly name: string;
  readonly options: readonly string[];
  readonly clients: number;
  readonly opens: boolean;
  readonly tls: boolean;
}

const load = (name: string, clients: number, options: string, tls: boolean): Load => ({
  name: `${tls ? 'TLS' : 'plain'}: ${name}`,
  options: [...options.split(' '), '-c', String(clients), '-j', '2'],
  clients,
  opens: options.includes('-C'),
  tls,
});

const loadsBy = (tls: boolean): readonly Load[] => [
  load('open, login, select, close, 8 clients', 8, '-S -C', tls),
  load('select, prepared, 16 clients', 16, '-S -M prepared', tls),
];

const LOADS: readonly Load[] = [...loadsBy(false), ...loadsBy(true)];

const ONE = 'postern, 1 worker';
const SKEW = '50 of 53 clients in one worker, 20 connections, 10 ms each, transaction mode';

/** Each worker compiles for itself: before so many logins one costs several times as much. */
const WARM_LOGINS = 4_000;
/** The same for statements, in seconds. */
const WARM_SECONDS = 4;
/** Programs that are compiled need none. */
const SHORTLY = ['-T', '1'];
/** How long is counted which process has what, in seconds. */
const COUNT_SECONDS = 2;

/** A peer; `count`: workers, or undefined for another program. */
interface Measured {
  readonly peer: Peer;
  readonly count: number | undefined;
}

interface Gateway extends Measured {
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

/** `'auto'` has as many workers as the process may use cores. */
const COUNTS = [...new Set([1, 2, availableParallelism()])];

async function peersOf(backdrop: Backdrop, tls: boolean): Promise<readonly Measured[]> {
  const measured: Measured[] = [...(await gatewaysOf(backdrop, COUNTS, { tls }))];
  for (const processes of COUNTS) {
    const running = await backdrop.pgbouncer({ tls, processes });
    if (running) measured.push({ peer: running.peer, count: undefined });
  }
  return measured;
}

function warmthOf({ opens, clients }: Load, { count }: Measured): readonly string[] {
  if (count === undefined) return SHORTLY;
  return opens
    ? ['-t', String(Math.ceil((WARM_LOGINS * count) / clients))]
    : ['-T', String(WARM_SECONDS * count)];
}

async function rowsOf(
  backdrop: Backdrop,
  program: string,
  one: Load,
  measured: readonly Measured[],
  seconds: number,
): Promise<readonly Row[]> {
  const { name, opens, options } = one;
  const call = { program, signal: backdrop.signal, options };
  const figures = await inTurn(
    measured,
    (of) => warmUp(call, of.peer, warmthOf(one, of)),
    ({ peer }) => pgbench({ ...call, opens, seconds }, peer),
  );
  const rows: Row[] = [];
  for (const [i, { peer }] of measured.entries()) {
    const shared = await imbalance(peer, backdrop.direct.port, opens, COUNT_SECONDS);
    rows.push({ load: name, peer: peer.name, figures: { ...figures[i], ...shared } });
  }
  return rows;
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

function noteOf(seconds: number): string {
  return [
    'session mode, where nothing else is said',
    `'auto' is ${availableParallelism()} workers here`,
    `${ROUNDS} rounds in turn, ${seconds} s each, medians`,
    `before them ${WARM_LOGINS} logins or ${WARM_SECONDS} s of statements per worker`,
    'CPU is user + system time of parent and workers',
    'pgbench and PostgreSQL run on the same cores',
    'largest/mean: what the busiest of several processes has, in a run of its own',
  ].join('; ');
}

/** Gateways with several workers. */
export const workers: Benchmark = {
  summary: 'sessions opened and statements run with one worker and with more, beside PgBouncer',
  options: { seconds: 9, only: '' },
  async run(backdrop, options) {
    const program = executable('pgbench');
    if (program === undefined) throw new Error('pgbench is not installed (Debian: apt install postgresql)');
    await fill(program, backdrop);
    const seconds = Math.max(1, Math.round(options.seconds / ROUNDS));
    const rows: Row[] = SKEW.includes(options.only) ? [...(await skewRows(backdrop, seconds))] : [];
    for (const tls of [false, true]) {
      const loads = LOADS.filter((one) => one.tls === tls && one.name.includes(options.only));
      const measured = loads.length > 0 ? await peersOf(backdrop, tls) : [];
      for (const one of loads) rows.push(...(await rowsOf(backdrop, program, one, measured, seconds)));
    }
    return {
      note: noteOf(seconds),
      columns: [
        { key: 'tps', title: 'tps', against: [ONE, 'PgBouncer'] },
        { key: 'cpu', title: 'CPU µs/transaction', digits: 1, against: [ONE, 'PgBouncer'] },
        { key: 'failed', title: 'failed' },
        { key: 'sessions', title: 'sessions, largest/mean', digits: 2 },
        { key: 'transactions', title: 'transactions, largest/mean', digits: 2 },
        { key: 'longest', title: 'longest mean wait ms', digits: 1 },
        { key: 'others', title: 'median of the others', digits: 1 },
      ],
      rows,
    };
  },
};

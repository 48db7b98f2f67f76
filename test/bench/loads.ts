/** `npm run bench [-- loads]`: throughput and CPU per transaction under the loads of pgbench. */
import { executable } from '../support/executable.ts';
import type { Backdrop } from './backdrop.ts';
import type { Benchmark, Options } from './command-line.ts';
import { run } from './companion.ts';
import type { Peer } from './peer.ts';
import { pgbench } from './pgbench.ts';
import { inTurn, ROUNDS } from './rounds.ts';
import type { Row } from './table.ts';

interface Load {
  readonly name: string;
  readonly options: readonly string[];
  /** What PgBouncer is given in transaction mode, where it may know no prepared statements. Default: the same. */
  readonly bouncer?: readonly string[];
  /** Whether it opens sessions: then PgBouncer without authentication is a peer as well. */
  readonly opens?: boolean;
}

function selects(protocol: string, clients: number): Load {
  const threads = clients > 1 ? 2 : 1;
  const by = (how: string): readonly string[] => [
    '-S',
    '-M',
    how,
    '-c',
    String(clients),
    '-j',
    String(threads),
  ];
  return {
    name: `select, ${protocol}, ${clients} client${clients > 1 ? 's' : ''}`,
    options: by(protocol),
    bouncer: by('simple'),
  };
}

const LOADS: readonly Load[] = [
  ...[1, 8, 32, 128].map((clients) => selects('prepared', clients)),
  ...[8, 32, 128].map((clients) => selects('simple', clients)),
  ...[8, 128].map((clients) => selects('extended', clients)),
  { name: 'open, login, select, close, 4 clients', options: ['-S', '-C', '-c', '4', '-j', '2'], opens: true },
];

/** V8 has compiled for itself by then what runs for each transaction: a gateway stays for longer. */
const WARM_UP_SECONDS = 3;

/** In transaction mode 128 clients share 20 connections. */
const SIZES = { session: 200, transaction: 20 };

const PGBOUNCER = 'PgBouncer';

/**
 * What pgbench does with a peer. PgBouncer knows prepared statements in transaction mode since 1.21 only, and then where it is
 * told to: there every load is put beside its simple protocol.
 */
function optionsFor(
  { name }: Peer,
  { options, bouncer = options }: Load,
  { mode }: Options,
): readonly string[] {
  return mode === 'transaction' && name === PGBOUNCER ? bouncer : options;
}

function noteOf({ mode, tls }: Options, seconds: number): string {
  const beside = mode === 'transaction' ? '; PgBouncer by the simple protocol' : '';
  const ciphered = tls ? '; clients talk TLS, but not to PostgreSQL' : '';
  return `${mode} mode${beside}; ${ROUNDS} rounds in turn, ${seconds} s each, medians${ciphered}; CPU is user + system time of the process in between, of logins only where sessions are opened`;
}

interface Peers {
  readonly every: readonly Peer[];
  readonly opening: readonly Peer[];
}

async function peersOf(backdrop: Backdrop, { tls, mode, floor, with: variants }: Options): Promise<Peers> {
  const pooling = { tls, mode, size: SIZES[mode] };
  const gateways = [(await backdrop.gateway(pooling)).peer, ...(await backdrop.variants(variants, pooling))];
  const bouncer = await backdrop.pgbouncer(pooling);
  const trusting = await backdrop.pgbouncer({ ...pooling, auth: 'trust' });
  const proxy = tls ? undefined : await backdrop.haproxy();
  const least = floor ? await backdrop.floor(pooling) : undefined;
  const every = [backdrop.direct, ...gateways, least?.peer, bouncer?.peer, proxy?.peer].filter(
    (peer) => peer !== undefined,
  );
  return { every, opening: trusting ? [trusting.peer] : [] };
}

/** Makes pgbench's tables. */
export async function fill(program: string, { direct, signal }: Backdrop): Promise<void> {
  const { host, port, user, database, password } = direct;
  const options = ['-i', '-q', '-s', '5', '-h', host, '-p', String(port), '-U', user, database];
  await run(program, options, { env: { PGPASSWORD: password }, signal });
}

/** The loads of pgbench. */
export const loads: Benchmark = {
  summary: 'throughput and CPU per transaction under pgbench',
  options: { seconds: 9, only: '', with: 'onQuery', mode: 'session', tls: false, floor: false },
  async run(backdrop, options) {
    const program = executable('pgbench');
    if (program === undefined) throw new Error('pgbench is not installed (Debian: apt install postgresql)');
    await fill(program, backdrop);
    const { every, opening } = await peersOf(backdrop, options);
    const seconds = Math.max(1, Math.round(options.seconds / ROUNDS));
    const rows: Row[] = [];
    for (const load of LOADS.filter(({ name }) => name.includes(options.only))) {
      const { name, opens = false } = load;
      const peers = opens ? [...every, ...opening] : every;
      const what = { program, opens, signal: backdrop.signal };
      const measure = (lasting: number) => (peer: Peer) =>
        pgbench({ ...what, options: optionsFor(peer, load, options), seconds: lasting }, peer);
      const figures = await inTurn(peers, measure(WARM_UP_SECONDS), measure(seconds));
      rows.push(...peers.map((peer, i) => ({ load: name, peer: peer.name, figures: figures[i]! })));
    }
    return {
      note: noteOf(options, seconds),
      columns: [
        { key: 'tps', title: 'tps', against: [PGBOUNCER] },
        { key: 'cpu', title: 'CPU µs/transaction', digits: 1, against: [PGBOUNCER] },
        { key: 'failed', title: 'failed' },
      ],
      rows,
    };
  },
};

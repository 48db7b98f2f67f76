/** `npm run bench -- bulk`: COPY out and in, as fast as it goes. */
import { message } from '../support/raw-client.ts';
import type { Backdrop } from './backdrop.ts';
import { BenchClient } from './client.ts';
import type { Benchmark, Options } from './command-line.ts';
import { cpuDuring, forgetPeak, memoryOf } from './cost.ts';
import type { Peer } from './peer.ts';
import { inTurn, ROUNDS } from './rounds.ts';
import type { Figures, Row } from './table.ts';

const MIB = 1_048_576;
/** 1000 lines of 1000 bytes are a megabyte, which is what the table holds and what is sent again and again. */
const LINES = 1_000;
const LINE = `${'x'.repeat(999)}\n`;
const BLOCK = Buffer.concat(Array.from({ length: LINES }, () => message('d', LINE)));
const TABLE = `create table lines (line text); insert into lines select repeat('x', 999) from generate_series(1, ${LINES});
  analyze lines`;

type Direction = 'out' | 'in';

async function copy(client: BenchClient, direction: Direction, megabytes: number): Promise<void> {
  // Rows are read and thrown away: the server shall not be what is waited for.
  if (direction === 'in') return client.copyIn('copy lines from stdin where false', BLOCK, megabytes);
  const query = `select line from generate_series(1, ${megabytes}), lines`;
  const bytes = await client.copyOut(`copy (${query}) to stdout`);
  if (bytes < megabytes * 1e6) throw new Error(`only ${bytes} bytes of ${megabytes} MB arrived`);
}

async function copied(peer: Peer, direction: Direction, megabytes: number): Promise<Figures> {
  const client = await BenchClient.login(peer);
  const before = forgetPeak(peer.pid) ? memoryOf(peer.pid)?.now : undefined;
  const start = performance.now();
  const cpu = await cpuDuring(peer.pid, () => copy(client, direction, megabytes));
  const seconds = (performance.now() - start) / 1_000;
  client.close();
  const peak = memoryOf(peer.pid)?.peak;
  return {
    speed: megabytes / seconds,
    cpu: cpu === undefined ? undefined : cpu / 1e6 / (megabytes / 1_000),
    memory: before === undefined || peak === undefined ? undefined : (peak - before) / MIB,
  };
}

async function peersOf(backdrop: Backdrop, { tls }: Options): Promise<readonly Peer[]> {
  const { peer } = await backdrop.gateway({ tls });
  const bouncer = await backdrop.pgbouncer({ tls });
  return [peer, ...(bouncer ? [bouncer.peer] : []), backdrop.direct];
}

/** Much data, one client. */
export const bulk: Benchmark = {
  summary: 'COPY out and in: megabytes per second, CPU, and how far memory grows',
  options: { megabytes: 1_000, tls: false },
  async run(backdrop, options) {
    await backdrop.sql(TABLE);
    const peers = await peersOf(backdrop, options);
    const rows: Row[] = [];
    for (const direction of ['out', 'in'] as const) {
      const figures = await inTurn(
        peers,
        (peer) => copied(peer, direction, Math.min(options.megabytes, 50)),
        (peer) => copied(peer, direction, options.megabytes),
      );
      rows.push(
        ...peers.map(({ name }, i) => ({ load: `copy ${direction}`, peer: name, figures: figures[i]! })),
      );
    }
    return {
      note: `COPY of ${options.megabytes} MB in lines of 1000 bytes, 1 client; ${ROUNDS} rounds in turn, medians; CPU and memory are those of the process in between`,
      columns: [
        { key: 'speed', title: 'MB/s', against: ['PgBouncer'] },
        { key: 'cpu', title: 'CPU s/GB', digits: 2, against: ['PgBouncer'] },
        { key: 'memory', title: 'memory, most above before, MiB', digits: 1 },
      ],
      rows,
    };
  },
};

/** `npm run bench -- idle`: resident memory for each client that does nothing. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backdrop } from './backdrop.ts';
import type { Benchmark, Options } from './command-line.ts';
import type { Companion } from './companion.ts';
import { memoryOf, openFilesLimit } from './cost.ts';
import type { Crowd } from './idle-clients.ts';
import type { Running } from './peers.ts';
import type { Figures, Row } from './table.ts';

const KIB = 1_024;
/** Clients of one process. */
const CROWD = 5_000;
/** Files that a peer needs besides its clients. */
const SPARE = 500;
/** Who comes and goes first, so that code and buffers are there. */
const WARM_UP = 50;
const POOL = { mode: 'transaction', size: 20 } as const;
/** A new low counts if it is so much lower, and only this long is waited for the next. */
const FALLS = 0.995;
const LONGEST_SETTLE_S = 60;

/** Resident memory when it has not fallen for so long: garbage is collected some time after the work. */
async function settled(pid: number | undefined, seconds: number): Promise<number> {
  let low = Infinity;
  let still = 0;
  for (let waited = 0; waited < LONGEST_SETTLE_S && still <= seconds; waited += 1, still += 1) {
    const { now } = memoryOf(pid) ?? { now: Number.NaN };
    if (now < low * FALLS) still = 0;
    low = Math.min(low, now);
    await sleep(1_000);
  }
  return memoryOf(pid)?.now ?? Number.NaN;
}

async function told(crowd: Companion, what: Crowd | 'leave'): Promise<void> {
  const answer = crowd.message();
  crowd.child.send(what);
  const said = await answer;
  if (said !== 'gathered' && said !== 'left') throw new Error(String(said));
}

async function gather(crowds: readonly Companion[], { peer }: Running, clients: number): Promise<void> {
  const share = (i: number): number => Math.floor((clients + i) / crowds.length);
  await Promise.all(crowds.map((crowd, i) => told(crowd, { peer, count: share(i) })));
}

async function held(
  crowds: readonly Companion[],
  running: Running,
  clients: number,
  seconds: number,
): Promise<Figures> {
  const leave = (): Promise<unknown> => Promise.all(crowds.map((crowd) => told(crowd, 'leave')));
  await gather(crowds, running, Math.min(clients, WARM_UP));
  await leave();
  const before = await settled(running.peer.pid, seconds);
  await gather(crowds, running, clients);
  const after = await settled(running.peer.pid, seconds);
  await leave();
  return { before: before / KIB / KIB, after: after / KIB / KIB, each: (after - before) / KIB / clients };
}

function clientsOf({ clients }: Options): number {
  const most = openFilesLimit() - SPARE;
  if (clients <= most) return clients;
  if (most < 1) throw new Error('ulimit -n is too low for any client');
  console.error(`ulimit -n allows ${most} clients, not ${clients}`);
  return most;
}

function starts(
  backdrop: Backdrop,
  tls: boolean,
  clients: number,
): readonly (() => Promise<Running | undefined>)[] {
  return [
    () => backdrop.gateway({ ...POOL, tls }),
    () => backdrop.pgbouncer({ ...POOL, tls, auth: 'trust', clients: clients + SPARE }),
  ];
}

/** Many clients that do nothing. */
export const idle: Benchmark = {
  summary: 'resident memory for each idle client, plain and TLS; --seconds: how long it must not have fallen',
  options: { clients: 10_000, seconds: 10 },
  async run(backdrop, options) {
    const clients = clientsOf(options);
    const crowds: Companion[] = [];
    for (let i = 0; i < Math.ceil(clients / CROWD); i += 1)
      crowds.push(await backdrop.module('idle-clients.ts'));
    const rows: Row[] = [];
    for (const tls of [false, true])
      for (const start of starts(backdrop, tls, clients)) {
        const running = await start();
        if (!running) continue;
        const figures = await held(crowds, running, clients, options.seconds);
        rows.push({ load: tls ? 'TLS' : 'plain', peer: running.peer.name.replace(', trust', ''), figures });
        await running.stop();
      }
    return {
      note: `${clients} clients that have logged in and asked once, transaction mode; each in a fresh process, once; resident memory as soon as it has not fallen for ${options.seconds} s`,
      columns: [
        { key: 'before', title: 'before, MiB', digits: 1 },
        { key: 'after', title: 'with all, MiB', digits: 1 },
        { key: 'each', title: 'KiB/client', digits: 1, against: ['PgBouncer'] },
      ],
      rows,
    };
  },
};

/** Runs pgbench against a peer and reads what it cost whom. */
import { run } from './companion.ts';
import { cpuDuring } from './cost.ts';
import type { Peer } from './peer.ts';
import type { Figures } from './table.ts';

/** How pgbench is called. */
export interface Call {
  readonly program: string;
  /** Without those that say where, and how long. */
  readonly options: readonly string[];
  readonly signal: AbortSignal;
}

/** One run of pgbench. */
export interface Run extends Call {
  readonly seconds: number;
  /** Whether what is measured is how sessions are opened. Otherwise their CPU does not count. */
  readonly opens: boolean;
}

const numberIn = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN);

async function once(
  { program, options, signal }: Call,
  peer: Peer,
  lasting: readonly string[],
): Promise<{ readonly out: string; readonly cpu: number | undefined }> {
  const target = ['-h', peer.host, '-p', String(peer.port), '-U', peer.user, peer.database];
  const env = { PGPASSWORD: peer.password, PGSSLMODE: peer.tls ? 'require' : 'disable' };
  let out = '';
  const cpu = await cpuDuring(peer.pid, async () => {
    out = await run(program, ['-n', ...options, ...lasting, ...target], { env, signal });
  });
  return { out, cpu };
}

/** Nothing is measured. `lasting`: pgbench's `-T seconds`, or `-t transactions` of each client. */
export async function warmUp(call: Call, peer: Peer, lasting: readonly string[]): Promise<void> {
  await once(call, peer, lasting);
}

/**
 * Without warm-up: `tps`, `cpu` in µs per transaction of the process in between, and `failed`. What the logins take is seen by a
 * run of one transaction per client, and taken off: with many clients it would be most of a short run.
 */
export async function pgbench(what: Run, peer: Peer): Promise<Figures> {
  const logins = what.opens ? undefined : await once(what, peer, ['-t', '1']);
  const connecting = logins ? numberIn(logins.out, /initial connection time = ([\d.]+) ms/) || 0 : 0;
  const lasting = what.seconds + Math.ceil(connecting / 1_000);
  const { out, cpu } = await once(what, peer, ['-T', String(lasting)]);
  const done = /transactions actually processed: (\d+)/;
  const transactions = numberIn(out, done) - (logins ? numberIn(logins.out, done) : 0);
  return {
    tps: numberIn(out, /tps = ([\d.]+)/),
    cpu: cpu === undefined || transactions <= 0 ? undefined : (cpu - (logins?.cpu ?? 0)) / transactions,
    failed: numberIn(out, /number of failed transactions: (\d+)/) || 0,
  };
}

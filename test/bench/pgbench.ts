/** Runs pgbench against a peer and reads what it cost whom. */
import { run } from './companion.ts';
import { cpuDuring } from './cost.ts';
import type { Peer } from './peer.ts';
import type { Figures } from './table.ts';

const numberIn = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN);

/** One run of pgbench, without warm-up: `tps`, `cpu` in µs per transaction of the process in between, and `failed`. */
export async function pgbench(
  program: string,
  peer: Peer,
  options: readonly string[],
  signal: AbortSignal,
): Promise<Figures> {
  const target = ['-h', peer.host, '-p', String(peer.port), '-U', peer.user, peer.database];
  const env = { PGPASSWORD: peer.password, PGSSLMODE: peer.tls ? 'require' : 'disable' };
  let out = '';
  const cpu = await cpuDuring(peer.pid, async () => {
    out = await run(program, [...options, ...target], { env, signal });
  });
  const transactions = numberIn(out, /transactions actually processed: (\d+)/);
  return {
    tps: numberIn(out, /tps = ([\d.]+)/),
    cpu: cpu === undefined ? undefined : cpu / transactions,
    failed: numberIn(out, /number of failed transactions: (\d+)/) || 0,
  };
}

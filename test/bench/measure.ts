/** Runs pgbench against a port and reads what it cost whom. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Something that pgbench connects to. */
export interface Peer {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** The process between client and database; none for the database itself. */
  readonly pid?: number;
}

/** One load. */
export interface Load {
  readonly name: string;
  readonly args: readonly string[];
  readonly seconds: number;
}

/** What one load gave with one peer. */
export interface Figure {
  readonly peer: string;
  readonly load: string;
  readonly tps: number;
  /** Of the process in between: user and system time per transaction, in microseconds. */
  readonly cpuMicros: number | undefined;
  readonly failed: number;
}

/** Clock ticks per second of /proc/PID/stat: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS = 100;

/** User and system time of a process so far, in microseconds; undefined where there is no /proc. */
function cpuOf(pid: number): number | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS;
  } catch {
    return undefined;
  }
}

/** Runs a program to its end and gives what it printed. */
export function run(program: string, args: readonly string[], env: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (out += String(chunk)));
    child.stderr.on('data', (chunk) => (errors += String(chunk)));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(out) : reject(new Error(`${program} ${args.join(' ')}: ${errors}`)),
    );
  });
}

const numberIn = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN);

/** One run of pgbench, without warm-up. */
export async function measure(pgbench: string, peer: Peer, load: Load): Promise<Figure> {
  const before = peer.pid === undefined ? undefined : cpuOf(peer.pid);
  const target = ['-h', peer.host, '-p', String(peer.port), '-U', peer.user, peer.database];
  const args = ['-n', ...load.args, '-T', String(load.seconds), ...target];
  const out = await run(pgbench, args, { PGPASSWORD: peer.password, PGSSLMODE: 'disable' });
  const after = peer.pid === undefined ? undefined : cpuOf(peer.pid);
  const transactions = numberIn(out, /transactions actually processed: (\d+)/);
  return {
    peer: peer.name,
    load: load.name,
    tps: numberIn(out, /tps = ([\d.]+)/),
    cpuMicros: before === undefined || after === undefined ? undefined : (after - before) / transactions,
    failed: numberIn(out, /number of failed transactions: (\d+)/) || 0,
  };
}

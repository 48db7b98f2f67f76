/** What a simulation prints in the end. */
import { percentile } from '../bench/percentile.ts';
import type { SharedCounts } from './shared-counts.ts';
import { slowest } from './simulation.ts';
import type { Seen } from './simulation.ts';

/** What had been done until a moment. */
export interface Load {
  /** What Redis says. */
  readonly info: string;
  readonly at: number;
  /** Of this process. */
  readonly cpu: NodeJS.CpuUsage;
}

/** With its loop busier than this, or as late, in milliseconds, the process of the simulation makes things late itself. */
const [BUSY, LATE_MS] = [0.7, 20];
/** As late as this, half of what the store may take, it makes members lose answers that have come. Milliseconds. */
const LOST_MS = 500;
/** Commands that Redis spent most time with. */
const MOST = 4;

/** @returns whether all was as it must be */
export function print(seen: readonly Seen[], counts: SharedCounts, before: Load, after: Load): boolean {
  const isSame = new Set(seen.flatMap(({ boards }) => boards)).size === 1;
  const reached = counts.get('aboveReached');
  const all = (of: (one: Seen) => readonly number[]): string => times(seen.flatMap(of));
  console.log(`Redis: ${redisOf(before, after)}
${processOf(seen, before, after)}
revocation: ${all(({ revocation }) => revocation)}
  after a cut: ${all(({ afterCut }) => afterCut)}
free after a death: ${all(({ free }) => free)}
logins: ${counts.get('logins')}, of which ${counts.get('refused')} refused
above a limit: ${reached} while all reached the store, ${counts.get('aboveCut')} from the first cut on
${counts.get('deaths')} deaths, ${counts.get('cuts')} cuts; at the end all have the same: ${isSame ? 'yes' : 'NO'}`);
  return isSame && reached <= 0;
}

const times = (ms: readonly number[]): string =>
  ms.length === 0
    ? 'none'
    : `p50 ${percentile(ms, 50).toFixed(1)} ms, p99 ${percentile(ms, 99).toFixed(1)} ms, max ${percentile(ms, 100).toFixed(1)} ms (${ms.length})`;

const numberOf = (info: string, name: string): number =>
  Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1] ?? 0);

function redisOf(before: Load, after: Load): string {
  const seconds = (after.at - before.at) / 1_000;
  const perSecond = (name: string): number =>
    (numberOf(after.info, name) - numberOf(before.info, name)) / seconds;
  const cpu = perSecond('used_cpu_user') + perSecond('used_cpu_sys');
  const kilobytes = (perSecond('total_net_input_bytes') + perSecond('total_net_output_bytes')) / 1_000;
  return `${perSecond('total_commands_processed').toFixed(0)} commands/s, ${kilobytes.toFixed(0)} kB/s,
  ${(cpu * 100).toFixed(1)} % of a core, ${(numberOf(after.info, 'used_memory') / 1e6).toFixed(1)} MB
  most time in ${mostIn(before, after, seconds)}`;
}

/** By command: the time of a script has that of what it calls in it. */
function mostIn(before: Load, after: Load, seconds: number): string {
  const spent = ({ info }: Load): Map<string, number> =>
    new Map(
      [...info.matchAll(/^cmdstat_(\S+):.*?usec=(\d+)/gm)].map(([, name = '', us]) => [name, Number(us)]),
    );
  const earlier = spent(before);
  return [...spent(after)]
    .map(([name, us]) => [name, us - (earlier.get(name) ?? 0)] as const)
    .toSorted(([, one], [, other]) => other - one)
    .slice(0, MOST)
    .map(([name, us]) => `${name} ${(us / seconds / 1e4).toFixed(1)} %`)
    .join(', ');
}

/** All instances of a thread have one event loop: what one does delays the others, which have each its own in life. */
function processOf(seen: readonly Seen[], before: Load, after: Load): string {
  const { busy, p99, max } = slowest(seen.map(({ loop }) => loop));
  const us = after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system;
  const cores = us / 1_000 / (after.at - before.at);
  const loops = `event loops busy ${(busy * 100).toFixed(0)} %, late by p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms`;
  return `this process: ${seen.length} threads, ${cores.toFixed(2)} cores, ${loops}${verdict(busy, p99)}`;
}

function verdict(busy: number, late: number): string {
  if (late > LOST_MS)
    return '\n  it had too little of a core for so many: the figures say nothing of a fleet';
  if (busy > BUSY || late > LATE_MS)
    return '\n  it was the bottleneck: the times are upper bounds of what as many machines would see';
  return '';
}

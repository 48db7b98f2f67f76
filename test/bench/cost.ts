/** What a process has cost so far, as /proc tells it; undefined where there is no /proc. */
import { readFileSync, writeFileSync } from 'node:fs';

/** Clock ticks per second of /proc/PID/stat: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS = 100;

/** The processes that a process has begun. @throws where it is gone, or there is no /proc */
export function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

/** User and system time of a process and its children so far, in microseconds; undefined without a process (proc(5)). */
export function cpuOf(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  try {
    return [pid, ...childrenOf(pid)].reduce((sum, one) => sum + ownCpuOf(one), 0);
  } catch {
    return undefined;
  }
}

function ownCpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS;
}

/** CPU time in microseconds that a process took while something was done; undefined where that is not known. */
export async function cpuDuring(
  pid: number | undefined,
  work: () => Promise<unknown>,
): Promise<number | undefined> {
  const before = cpuOf(pid);
  await work();
  const after = cpuOf(pid);
  return before === undefined || after === undefined ? undefined : after - before;
}

/** Resident memory in bytes: now, and at its highest since {@link forgetPeak}; undefined without a process. */
export function memoryOf(
  pid: number | undefined,
): { readonly now: number; readonly peak: number } | undefined {
  if (pid === undefined) return undefined;
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    const of = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(text)?.[1]) * 1024;
    return { now: of('VmRSS'), peak: of('VmHWM') };
  } catch {
    return undefined;
  }
}

/** The highest value starts anew from what is used now. @returns whether the system lets us */
export function forgetPeak(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    return true;
  } catch {
    return false;
  }
}

/** How many files one process may have open, which is what its children may, too; Infinity where that is not known. */
export function openFilesLimit(): number {
  try {
    return Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}

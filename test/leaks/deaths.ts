/** Kills workers of the gateway, one after the other, until the run is over. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Run } from './session.ts';

/** Kills one, chosen at random, every `everyMs`, once all are ready: somebody is to be left who notices nothing. */
export async function killWorkers(run: Run, everyMs: number): Promise<void> {
  const { random, stage, findings } = run;
  const workers = childrenOf(stage.gateway.pid).length;
  for (let killed = 0; !run.over; killed += 1) {
    await sleep(everyMs);
    while (!run.over && stage.gateway.lines('worker ready').length < workers + killed) await sleep(100);
    if (run.over) return;
    process.kill(random.pick(childrenOf(stage.gateway.pid)), 'SIGKILL');
    findings.event('workers killed');
  }
}

function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

/** Waiting for what is outside of this process, also where vitest does not run. */
import { setTimeout as sleep } from 'node:timers/promises';

const AGAIN_MS = 20;

/** Asks until the answer is yes: whether it was in time. */
export async function holdsWithin(ms: number, holds: () => Promise<boolean> | boolean): Promise<boolean> {
  const end = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > end) return false;
    await sleep(AGAIN_MS);
  }
  return true;
}

/** Resolves once the answer is yes. @throws Error that says what did not come, after a minute */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  if (!(await holdsWithin(60_000, holds))) throw new Error(`not within a minute: ${what}`);
}

/** Clients that want more sessions than there may be. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../leaks/random.ts';
import type { LimitedFleet } from './limited-fleet.ts';

const SUBJECTS = 20;
/** At most, in milliseconds: how long a session stays, and how long a client waits after a refusal. */
const [STAY_MS, REST_MS] = [500, 250];
/** While an instance does not answer its clients, they do not ask in a loop. */
const KILLED_REST_MS = 50;

/** What a crowd does. */
export interface CrowdOptions {
  readonly clients: number;
  readonly logins: number;
  readonly random: Random;
  /** Ends it before its last login. */
  readonly over: AbortSignal;
}

/** Logs in through random instances as random subjects, stays and leaves, until there were so many logins. */
export async function crowd(fleet: LimitedFleet, options: CrowdOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.clients }, () => oneClient(fleet, options)));
}

async function oneClient(fleet: LimitedFleet, { logins, random, over }: CrowdOptions): Promise<void> {
  while (fleet.counts.logins < logins && !over.aborted) {
    const outcome = await fleet.logIn(random.pick(fleet.instances), `subject ${random.below(SUBJECTS)}`);
    if (typeof outcome === 'string') {
      await sleep(KILLED_REST_MS + random.below(REST_MS));
      continue;
    }
    await fleet.stay(outcome, random.below(STAY_MS));
    fleet.end(outcome, random.chance(0.5));
  }
}

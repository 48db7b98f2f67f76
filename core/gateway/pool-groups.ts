/** Sessions and server connections by entry and role: a pool as PgBouncer counts it. */
import type { Usage } from '../connection/usage.ts';
import type { Backing, Overview } from './overview.ts';

/** What belongs to one entry and one role. */
export interface PoolGroup {
  /** The key of `databases`. */
  readonly entry: string;
  readonly role: string;
  readonly usages: Usage[];
  readonly backings: Backing[];
}

/** The groups that a session or a server connection belongs to, in the order in which they are met. */
export function poolGroups(overview: Pick<Overview, 'usages' | 'backings'>): readonly PoolGroup[] {
  const groups = new Map<string, PoolGroup>();
  const group = (entry: string, role: string): PoolGroup => {
    const key = JSON.stringify([entry, role]);
    const known = groups.get(key) ?? { entry, role, usages: [], backings: [] };
    groups.set(key, known);
    return known;
  };
  for (const usage of overview.usages) group(usage.entry, usage.role).usages.push(usage);
  for (const one of overview.backings()) group(one.entry, one.server.key.role).backings.push(one);
  return [...groups.values()];
}

/** Since when each session of these waits that waits for a server connection, in milliseconds since the epoch. */
export function waitingIn(usages: readonly Pick<Usage, 'waitingSince'>[]): readonly number[] {
  return usages.flatMap(({ waitingSince }) => (waitingSince === undefined ? [] : [waitingSince]));
}

/** How long the one that waits longest has waited, in milliseconds; 0 where none waits or the clock was set back. */
export function longestWaitMs(waiting: readonly number[]): number {
  return waiting.length === 0 ? 0 : Math.max(0, Date.now() - Math.min(...waiting));
}

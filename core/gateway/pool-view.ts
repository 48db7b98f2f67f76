/** What operators see of a pool over HTTP: who uses it, who waits, and what its server connections do. */
import type { MemberState } from '../upstream/pool/member.ts';
import { poolGroups } from './console/show-pools.ts';
import type { Overview } from './overview.ts';

const STATES: readonly MemberState[] = ['opening', 'idle', 'resetting', 'lent', 'closing'];

/** One per database and role that somebody uses, as JSON. */
export function poolViews(overview: Overview): readonly object[] {
  return poolGroups(overview).map(({ database, user, usages, backings }) => {
    const since = usages.flatMap(({ waitingSince }) => (waitingSince === undefined ? [] : [waitingSince]));
    const inState = (state: MemberState): number =>
      backings.filter(({ member }) => member.state === state).length;
    return {
      database,
      role: user,
      sessions: usages.length,
      waiting: since.length,
      longestWaitMs: since.length === 0 ? 0 : Math.max(0, Date.now() - Math.min(...since)),
      servers: Object.fromEntries(STATES.map((state) => [state, inState(state)])),
    };
  });
}

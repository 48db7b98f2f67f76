/** What operators see of a pool over HTTP: who uses it, who waits, and what its server connections do. */
import type { PooledServerState } from '../upstream/pool/pooled-servers.ts';
import type { Overview } from './overview.ts';
import { longestWaitMs, poolGroups, waitingIn } from './pool-groups.ts';

const STATES: readonly PooledServerState[] = ['opening', 'idle', 'resetting', 'lent', 'closing'];

/** One per database and role that somebody uses, as JSON. */
export function poolViews(overview: Overview): readonly object[] {
  return poolGroups(overview).map(({ entry, role, usages, backings }) => {
    const waiting = waitingIn(usages);
    const inState = (state: PooledServerState): number =>
      backings.filter(({ server }) => server.state === state).length;
    return {
      database: entry,
      role,
      sessions: usages.length,
      waiting: waiting.length,
      longestWaitMs: longestWaitMs(waiting),
      servers: Object.fromEntries(STATES.map((state) => [state, inState(state)])),
    };
  });
}

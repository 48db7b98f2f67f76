/** What each entry and role has now, as plain numbers. */
import type { RoleReading } from '../contract/readings.ts';
import type { Overview } from './overview.ts';
import { longestWaitMs, poolGroups, waitingIn } from './pool-groups.ts';
import type { PoolGroup } from './pool-groups.ts';

function roleReading({ entry, role, usages, backings }: PoolGroup): RoleReading {
  const servers = { opening: 0, idle: 0, resetting: 0, lent: 0, closing: 0 };
  for (const { server } of backings) servers[server.state] += 1;
  const waiting = waitingIn(usages);
  const idle = usages.filter(({ session }) => session.state === 'idle').length;
  return {
    entry,
    role,
    sessions: usages.length,
    clients: { idle, waiting: waiting.length, active: Math.max(0, usages.length - idle - waiting.length) },
    cancels: usages.reduce((sum, { cancels }) => sum + cancels, 0),
    servers,
    longestWaitMs: longestWaitMs(waiting),
  };
}

/** Of every entry and role that a session or a server connection belongs to. */
export function roleReadings(overview: Pick<Overview, 'usages' | 'backings'>): readonly RoleReading[] {
  return poolGroups(overview).map(roleReading);
}

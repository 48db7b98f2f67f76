/** The metrics that plugins may read: the numbers of the console as plain values. */
import type { Readings, RoleReading } from '../readings.ts';
import type { Shared } from './gateway-context.ts';
import { ownVersion } from './own-version.ts';
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
    clients: { idle, waiting: waiting.length, active: Math.max(0, usages.length - idle - waiting.length) },
    servers,
    longestWaitMs: longestWaitMs(waiting),
  };
}

/** As of now. Takes time in proportion to the sessions and server connections there are. */
export function metricsOf({ overview, pools, draining, reload }: Shared): Readings {
  const limits: Record<string, number> = {};
  for (const { entry, pool } of pools.everyOne()) limits[entry] = Math.max(limits[entry] ?? 0, pool.limit);
  return {
    version: ownVersion(),
    draining,
    loggingIn: overview.arriving.length,
    roles: poolGroups(overview).map(roleReading),
    totals: [...overview.statistics.totals()].map(([entry, counts]) => ({ entry, ...counts })),
    limits,
    reload: { ...reload },
  };
}

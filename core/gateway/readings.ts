/** The metrics of this worker that plugins may read, as plain values. */
import type { Readings } from '../contract/readings.ts';
import { roleReadings } from './role-readings.ts';
import { totalsReadings } from './statistics.ts';
import type { Shared } from './shared.ts';

/** As of now. Takes time in proportion to the sessions and server connections there are. */
export function readingsOf({ services, overview, pools, draining, reload }: Shared): Readings {
  const limits: Record<string, number> = {};
  for (const { entry, pool } of pools.everyOne()) limits[entry] = Math.max(limits[entry] ?? 0, pool.limit);
  return {
    version: services.overview.version,
    draining,
    loggingIn: overview.arriving.length,
    roles: roleReadings(overview),
    totals: totalsReadings(overview.statistics.totals()),
    limits,
    reload: { ...reload },
  };
}

/** The known status of the servers behind database entries, for readiness checks. */
import { describeEndpoint } from '../upstream/hosts/endpoint.ts';
import type { Check } from '../admin/admin-routes.ts';
import type { Pools } from './pools.ts';

/** A line for each entry whose servers are watched. None is a problem of the gateway: other entries are served. */
export function serverChecks(pools: Pick<Pools, 'everyOne'>): readonly Check[] {
  return pools.everyOne().flatMap(({ entry, pool }) => {
    const { states } = pool.hosts;
    const note = states.map(({ endpoint, state }) => `${describeEndpoint(endpoint)} is ${state}`).join(', ');
    return states.length > 0 ? [{ name: `servers of ${entry}`, problem: undefined, note }] : [];
  });
}

/** The fleet as operators see it. */
import type { FleetReading } from '../contract/overview.ts';
import type { Coordination } from '../workers/coordination.ts';

/** As this instance knows it now; undefined where it is in none. */
export function fleetReading({
  fleet,
  instanceNumbers,
}: Pick<Coordination, 'fleet' | 'instanceNumbers'>): FleetReading | undefined {
  if (!fleet) return undefined;
  const { name, id, instance, staleSince, isStale, limitsAwaySince, away } = fleet;
  const others = Object.entries(instanceNumbers?.byNumber ?? {});
  const numbers = new Map(others.map(([number, of]) => [of, Number(number)]));
  if (instanceNumbers?.number !== undefined) numbers.set(id, instanceNumbers.number);
  const instances = fleet.instances.map((one) => ({ ...one, number: numbers.get(one.id) }));
  return { name, id, instance, staleSince, isStale, limitsAwaySince, away, instances };
}

/** What `/readyz?verbose` says of it. */
export function fleetNote(reading: FleetReading): string {
  const { name, instance, staleSince, isStale, limitsAwaySince, away, instances } = reading;
  const where = `${name} as ${instance}, ${instances.length} ${instances.length === 1 ? 'instance' : 'instances'}`;
  const since = staleSince ?? limitsAwaySince;
  if (since === undefined) return where;
  const stands = isStale ? 'stale: ' : staleSince === undefined ? `limits '${away.limits}': ` : '';
  return `${where}; ${stands}the store has not answered since ${new Date(since).toISOString()}`;
}

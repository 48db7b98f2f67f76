/** The fleet as operators see it. */
import type { FleetReading } from '../contract/overview.ts';
import type { Coordination } from '../workers/coordination.ts';

/** As this instance knows it now; undefined where it is in none. */
export function fleetReading({
  fleet,
  instanceNumbers,
}: Pick<Coordination, 'fleet' | 'instanceNumbers'>): FleetReading | undefined {
  if (!fleet) return undefined;
  const { name, id, instance, staleSince, isStale, away } = fleet;
  const others = Object.entries(instanceNumbers?.byNumber ?? {});
  const numbers = new Map(others.map(([number, of]) => [of, Number(number)]));
  if (instanceNumbers?.number !== undefined) numbers.set(id, instanceNumbers.number);
  const instances = fleet.instances.map((one) => ({ ...one, number: numbers.get(one.id) }));
  return { name, id, instance, staleSince, isStale, away, instances };
}

/** What `/readyz?verbose` says of it. */
export function fleetNote({ name, instance, staleSince, isStale, instances }: FleetReading): string {
  const where = `${name} as ${instance}, ${instances.length} ${instances.length === 1 ? 'instance' : 'instances'}`;
  if (staleSince === undefined) return where;
  const since = new Date(staleSince).toISOString();
  return `${where}; ${isStale ? 'stale: ' : ''}the store has not answered since ${since}`;
}

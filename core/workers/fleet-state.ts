/** Where an instance of a fleet stands, as its workers hear it. */
import type { FleetAway, FleetInstance } from '../contract/fleet.ts';
import type { InstanceNumbers } from '../contract/instance-numbers.ts';

/** Where it stands, for `Fleet`. Plain data: it goes to workers. */
export interface FleetState extends InstanceNumbers {
  readonly name: string;
  readonly id: string;
  readonly instance: string;
  readonly instances: readonly FleetInstance[];
  readonly staleSince: number | undefined;
  readonly isStale: boolean;
  readonly away: FleetAway;
}

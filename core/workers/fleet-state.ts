/** Where an instance of a fleet stands, as its workers hear it. */
import type { Fleet } from '../contract/fleet.ts';
import type { InstanceNumbers } from '../contract/instance-numbers.ts';

/** What a worker is told of the fleet when it begins. */
export interface FleetBegin {
  readonly state: FleetState;
  /** Never changes. */
  readonly hashKey: string;
}

/** Where it stands, for `Fleet`. Plain data: it goes to workers. */
export type FleetState = InstanceNumbers &
  Pick<
    Fleet,
    | 'name'
    | 'id'
    | 'instance'
    | 'instances'
    | 'staleSince'
    | 'isStale'
    | 'limitsAwaySince'
    | 'limitsAwayTimes'
    | 'away'
  >;

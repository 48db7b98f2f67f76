/** How the fleet stands, as instruments that are read when somebody asks. */
import type { BatchObservableResult, Meter } from '@opentelemetry/api';
import type { Fleet } from '../../core/index.ts';

/** What is told of the fleet. */
export type FleetStanding = Pick<
  Fleet,
  'instances' | 'isStale' | 'staleSince' | 'limitsAwaySince' | 'limitsAwayTimes'
>;

/** Registers them; without a fleet there are none. */
export function registerFleetGauges(meter: Meter, fleet: FleetStanding | undefined): void {
  if (!fleet) return;
  const live = meter.createObservableGauge('postern.fleet.instances', {
    description: 'Instances of the fleet that live, this one included, as its store last told',
  });
  const stale = meter.createObservableGauge('postern.fleet.stale', {
    description: '1 once the store of the fleet has not answered for fleet.stale, or has never answered',
  });
  const silence = meter.createObservableGauge('postern.fleet.store.silence', {
    unit: 's',
    description: 'Time since the store of the fleet last answered; 0 while it does',
  });
  const limits = meter.createObservableGauge('postern.fleet.limits.silence', {
    unit: 's',
    description: 'Time since limits go by fleet.away.limits; 0 while all instances are counted',
  });
  const outages = meter.createObservableCounter('postern.fleet.limits.outages', {
    unit: '{outage}',
    description: 'How often limits have begun to go by fleet.away.limits',
  });
  const observe = (result: BatchObservableResult): void => {
    const { instances, isStale, staleSince, limitsAwaySince, limitsAwayTimes } = fleet;
    result.observe(live, instances.length);
    result.observe(stale, isStale ? 1 : 0);
    result.observe(silence, secondsSince(staleSince));
    result.observe(limits, secondsSince(limitsAwaySince));
    result.observe(outages, limitsAwayTimes);
  };
  meter.addBatchObservableCallback(observe, [live, stale, silence, limits, outages]);
}

function secondsSince(begin: number | undefined): number {
  return begin === undefined ? 0 : Math.max(0, Date.now() - begin) / 1_000;
}

/** How the fleet stands, as instruments that are read when somebody asks. */
import type { BatchObservableResult, Meter } from '@opentelemetry/api';
import type { Fleet } from '../../core/index.ts';

/** What is told of the fleet. */
export type FleetStanding = Pick<Fleet, 'instances' | 'isStale' | 'staleSince'>;

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
  const observe = (result: BatchObservableResult): void => {
    const { instances, isStale, staleSince } = fleet;
    result.observe(live, instances.length);
    result.observe(stale, isStale ? 1 : 0);
    const silentMs = staleSince === undefined ? 0 : Math.max(0, Date.now() - staleSince);
    result.observe(silence, silentMs / 1_000);
  };
  meter.addBatchObservableCallback(observe, [live, stale, silence]);
}

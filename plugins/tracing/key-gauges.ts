/** How old the keys are that tokens are verified with, as instruments that are read when somebody asks. */
import type { BatchObservableResult, Meter } from '@opentelemetry/api';
import type { KeySetReading } from '../../core/index.ts';

/** Registers them; where no plugin tells about keys they have no value. */
export function registerKeyGauges(meter: Meter, readings: () => readonly KeySetReading[]): void {
  const count = meter.createObservableGauge('postern.issuer.keys', {
    description: 'Keys that tokens of an issuer can be verified with; 0: none of its tokens can',
  });
  const age = meter.createObservableGauge('postern.issuer.keys.age', {
    unit: 's',
    description: 'Time since an issuer last said what its keys are',
  });
  const kept = meter.createObservableGauge('postern.issuer.keys.kept', {
    description: '1 while the keys of an earlier answer serve because the issuer does not answer',
  });
  const observe = (result: BatchObservableResult): void => {
    for (const { issuer, keys, ageMs, kept: why, fromDisk = false } of readings()) {
      result.observe(count, keys, { issuer });
      if (keys === 0) continue;
      if (ageMs !== undefined) result.observe(age, ageMs / 1_000, { issuer });
      result.observe(kept, why !== undefined || fromDisk ? 1 : 0, { issuer });
    }
  };
  meter.addBatchObservableCallback(observe, [count, age, kept]);
}

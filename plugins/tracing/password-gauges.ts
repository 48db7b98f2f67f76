/** Who still comes with a password, as instruments that are read when somebody asks. */
import type { BatchObservableResult, Meter } from '@opentelemetry/api';
import type { PasswordUserReading } from '../../core/index.ts';

/** Users told by name, those who came last: a label for each user of a large list would be too many. */
const NAMED = 1_000;

/** Registers them; where no plugin takes passwords they have no value. */
export function registerPasswordGauges(meter: Meter, readings: () => readonly PasswordUserReading[]): void {
  const last = meter.createObservableGauge('postern.password.last_login_timestamp', {
    unit: 's',
    description: 'When a user last logged in by a password',
  });
  const logins = meter.createObservableCounter('postern.password.logins', {
    description: 'Logins by a password',
  });
  const observe = (result: BatchObservableResult): void => {
    for (const one of readings().slice(-NAMED)) {
      result.observe(last, one.lastLogin / 1_000, { user: one.user });
      result.observe(logins, one.logins, { user: one.user });
    }
  };
  meter.addBatchObservableCallback(observe, [last, logins]);
}

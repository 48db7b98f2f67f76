/** What is counted as it happens: logins, ends, renewals; and, where somebody asked for it, hooks and statements. */
import type { Attributes, Meter } from '@opentelemetry/api';
import { METRIC_DB_CLIENT_OPERATION_DURATION } from '@opentelemetry/semantic-conventions';
import type { Ended, Observers } from '../../core/index.ts';
import { statementTimes } from './operation-times.ts';
import type { Tracing } from './options.ts';

/** Of the convention, in seconds. */
const OPERATION_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];
const HOOK_BUCKETS = [0.000_01, 0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];

const seconds = ({ durationMs }: Pick<Ended, 'durationMs'>): number => durationMs / 1_000;

function outcomeOf({ sqlstate }: Ended): Attributes {
  return sqlstate === undefined ? { outcome: 'accepted' } : { outcome: 'refused', sqlstate };
}

/** Observers that count. What nobody wants to know is absent. */
export function countersOf(meter: Meter, wanted: NonNullable<Tracing['metrics']>): Observers {
  const histogram = (name: string, description: string, boundaries: number[]) =>
    meter.createHistogram(name, { unit: 's', description, advice: { explicitBucketBoundaries: boundaries } });
  const counter = (name: string, description: string) => meter.createCounter(name, { description });
  const logins = counter('postern.auth.attempts', 'Logins that came to an end, by outcome and SQLSTATE');
  const loginTime = histogram(
    'postern.auth.duration',
    'From the startup packet to the first ReadyForQuery or the refusal',
    OPERATION_BUCKETS,
  );
  const refused = counter('postern.refused_connections', 'Connections that never became a session');
  const ended = counter('postern.sessions_ended', 'Sessions that are over, by the reason');
  const renewals = counter(
    'postern.renewals',
    'Tokens presented in an open session, by outcome and SQLSTATE',
  );
  return {
    login(event) {
      const outcome = outcomeOf(event);
      logins.add(1, outcome);
      loginTime.record(seconds(event), { outcome: outcome['outcome'] });
    },
    discovery: () => logins.add(1, { outcome: 'discovery' }),
    refused: () => refused.add(1),
    close: ({ reason }) => ended.add(1, { reason: reason.kind }),
    renewal: (event) => renewals.add(1, outcomeOf(event)),
    ...(wanted.hooks &&
      hookTimes(histogram('postern.plugin.hook.duration', 'Time that hooks of plugins take', HOOK_BUCKETS))),
    ...(wanted.statements &&
      statementTimes(
        histogram(METRIC_DB_CLIENT_OPERATION_DURATION, 'Time that statements take', OPERATION_BUCKETS),
      )),
  };
}

type Histogram = ReturnType<Meter['createHistogram']>;

/** Labels that were made before: a statement must not pay for new ones. */
function remembered(
  make: (...parts: readonly string[]) => Attributes,
): (...parts: readonly string[]) => Attributes {
  const known = new Map<string, Attributes>();
  return (...parts) => {
    const key = parts.join('\0');
    let labels = known.get(key);
    if (!labels) known.set(key, (labels = make(...parts)));
    return labels;
  };
}

function hookTimes(times: Histogram): Observers {
  const labels = remembered((plugin = '', hook = '', outcome = '') => ({ plugin, hook, outcome }));
  return {
    hook(event) {
      const outcome = event.sqlstate === undefined ? 'passed' : 'refused';
      times.record(seconds(event), labels(event.plugin, event.hook, outcome));
    },
  };
}

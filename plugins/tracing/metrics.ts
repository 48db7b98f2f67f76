/** The gateway's metrics: instruments of OpenTelemetry, for Prometheus to read and for a collector to get. */
import type { KeySetReading, PasswordUserReading, Observers, Readings } from '../../core/index.ts';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import type { Resource } from '@opentelemetry/resources';
import { MeterProvider, MetricReader, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { CollectorAgent } from './collector-agent.ts';
import { countersOf } from './counters.ts';
import { registerFleetGauges } from './fleet-gauges.ts';
import type { FleetStanding } from './fleet-gauges.ts';
import { registerGauges } from './gauges.ts';
import { registerKeyGauges } from './key-gauges.ts';
import { registerPasswordGauges } from './password-gauges.ts';
import type { PushTarget, Tracing } from './options.ts';
import type { Outcome } from './outcome.ts';
import { familiesOf } from './prometheus.ts';
import type { Family } from './prometheus.ts';

/** How long a collector may take, in milliseconds. */
const PATIENCE_MS = 5_000;

/** Read when somebody asks. */
class Pull extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

function pushTo({ url, headers, intervalMs }: PushTarget, { options }: CollectorAgent): MetricReader {
  const exporter = new OTLPMetricExporter({
    ...options,
    url,
    headers: { ...headers },
    timeoutMillis: PATIENCE_MS,
  });
  const timeout = Math.min(PATIENCE_MS, intervalMs);
  return new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: timeout,
  });
}

/** What they are made of. */
export interface MetricsParts {
  readonly options: NonNullable<Tracing['metrics']>;
  readonly resource: Resource;
  readonly readings: () => Readings;
  readonly keySets: () => readonly KeySetReading[];
  readonly passwordUsers: () => readonly PasswordUserReading[];
  /** Undefined: the gateway is in none. */
  readonly fleet: FleetStanding | undefined;
  /** Of the spans, where there are any. */
  readonly outcome: Outcome | undefined;
}

/** One per set of options. */
export class Metrics {
  readonly observers: Observers;
  readonly #provider: MeterProvider;
  readonly #pull = new Pull();
  readonly #agent: CollectorAgent | undefined;
  readonly #stop: () => void;

  constructor({ options, resource, readings, keySets, passwordUsers, fleet, outcome }: MetricsParts) {
    const { otlp } = options;
    this.#agent = otlp && new CollectorAgent(otlp.url);
    const pushed = otlp && this.#agent ? [pushTo(otlp, this.#agent)] : [];
    this.#provider = new MeterProvider({ resource, readers: [this.#pull, ...pushed] });
    const meter = this.#provider.getMeter('postern');
    this.observers = countersOf(meter, options);
    this.#stop = registerGauges({ meter, readings, roles: options.roles });
    registerKeyGauges(meter, keySets);
    registerPasswordGauges(meter, passwordUsers);
    registerFleetGauges(meter, fleet);
    if (!outcome) return;
    const spans = meter.createObservableCounter('postern.spans', {
      description: 'Spans by what became of them',
    });
    spans.addCallback((result) => {
      for (const key of ['made', 'exported', 'failed'] as const)
        result.observe(outcome[key], { outcome: key });
    });
  }

  /** Of this worker, by the names that Prometheus reads. */
  async read(): Promise<readonly Family[]> {
    return familiesOf((await this.#pull.collect()).resourceMetrics);
  }

  /** Sends what there is. Rejects if that fails; call it once. */
  async shutdown(): Promise<void> {
    this.#stop();
    try {
      await this.#provider.shutdown();
    } finally {
      await this.#agent?.close();
    }
  }
}

/** Everything that is heavy: OpenTelemetry's packages, loaded when there is something to tell, and shared by the configs that tell the same. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  ATTR_SERVICE_INSTANCE_ID,
  ATTR_SERVICE_NAME,
  ATTR_SERVICE_VERSION,
} from '@opentelemetry/semantic-conventions';
import type { GatewayHandle, Logger, Readings } from '../../core/index.ts';
import { Metrics } from './metrics.ts';
import type { Tracing } from './options.ts';
import { Traces } from './traces.ts';

/** How long the last batch may take, in milliseconds. */
const FLUSH_MS = 3_000;

/** What is at work while at least one config uses it. */
export interface Telemetry {
  readonly traces?: Traces;
  readonly metrics?: Metrics;
}

function begin({ serviceName, traces, metrics, identity }: Tracing, gateway: GatewayHandle): Telemetry {
  const { log } = gateway;
  const readings = (): Readings => gateway.readings();
  const resource = resourceFromAttributes({
    [ATTR_SERVICE_NAME]: serviceName,
    [ATTR_SERVICE_VERSION]: readings().version,
    [ATTR_SERVICE_INSTANCE_ID]: randomUUID(),
  });
  const tracing = traces && new Traces(traces, identity, resource, log);
  const outcome = tracing?.outcome;
  return {
    ...(tracing && { traces: tracing }),
    ...(metrics && { metrics: new Metrics({ options: metrics, resource, readings, outcome }) }),
  };
}

async function end({ traces, metrics }: Telemetry): Promise<'done' | 'late'> {
  const flushed = Promise.allSettled([traces?.shutdown(), metrics?.shutdown()]);
  return Promise.race([
    flushed.then(() => 'done' as const),
    sleep(FLUSH_MS, 'late' as const, { ref: false }),
  ]);
}

/** Survives a reload that changes nothing of it, so that counters go on. */
export class SharedTelemetry {
  #users = 0;
  #log: Logger | undefined;
  #running: Telemetry | undefined;

  /** Starts it where nobody uses it. Call {@link leave} once for each. */
  enter(options: Tracing, gateway: GatewayHandle): Telemetry {
    this.#log = gateway.log;
    this.#running ??= begin(options, gateway);
    this.#users += 1;
    return this.#running;
  }

  /** Sends what waits when the last one leaves, for three seconds at most. Never rejects. */
  async leave(): Promise<void> {
    this.#users -= 1;
    const running = this.#running;
    if (this.#users > 0 || !running) return;
    this.#running = undefined;
    const how = await end(running);
    if (how === 'late') this.#log?.warn({}, 'the collector did not take everything in time');
  }
}

/** Everything that is heavy: OpenTelemetry's packages, loaded when there is something to tell, and shared by the configs that tell the same. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  ATTR_SERVICE_INSTANCE_ID,
  ATTR_SERVICE_NAME,
  ATTR_SERVICE_VERSION,
} from '@opentelemetry/semantic-conventions';
import type {
  GatewayHandle,
  KeySetReading,
  Logger,
  PasswordUserReading,
  Readings,
  ServiceName,
  Services,
} from '../../core/index.ts';
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

/** What telemetry is made of; the readings are those of the configs that are met when somebody asks. */
interface Sources {
  readonly log: Logger;
  readonly worker: GatewayHandle['worker'];
  readonly readings: () => Readings;
  readonly keySets: () => readonly KeySetReading[];
  readonly passwordUsers: () => readonly PasswordUserReading[];
  readonly fleet: GatewayHandle['fleet'];
}

function begin({ serviceName, traces, metrics, identity }: Tracing, sources: Sources): Telemetry {
  const { log, worker, ...read } = sources;
  const resource = resourceFromAttributes({
    [ATTR_SERVICE_NAME]: serviceName,
    [ATTR_SERVICE_VERSION]: sources.readings().version,
    // Each worker sends for itself.
    [ATTR_SERVICE_INSTANCE_ID]: randomUUID(),
    ...(worker.of > 1 && { 'postern.worker': worker.number }),
    ...(sources.fleet && { 'postern.instance': sources.fleet.instance }),
  });
  const tracing = traces && new Traces(traces, identity, resource, log);
  const outcome = tracing?.outcome;
  return {
    ...(tracing && { traces: tracing }),
    ...(metrics && { metrics: new Metrics({ options: metrics, resource, ...read, outcome }) }),
  };
}

async function end({ traces, metrics }: Telemetry, late?: AbortSignal): Promise<'done' | 'late'> {
  const flushed = Promise.allSettled([traces?.shutdown(), metrics?.shutdown()]);
  return Promise.race([
    flushed.then(() => 'done' as const),
    sleep(FLUSH_MS, 'late' as const, { ref: false, ...(late && { signal: late }) }).catch(
      () => 'late' as const,
    ),
  ]);
}

/** Survives a reload that changes nothing of it, so that counters go on. */
export class SharedTelemetry {
  /** The gateway as each config that uses it sees it, the latest last. */
  readonly #users: GatewayHandle[] = [];
  #running: Telemetry | undefined;

  /** Starts it where nobody uses it. Call {@link leave} once for each. @throws ConfigError for a proxy that is none */
  enter(options: Tracing, gateway: GatewayHandle): Telemetry {
    this.#running ??= begin(options, {
      log: gateway.log,
      worker: gateway.worker,
      fleet: gateway.fleet,
      readings: () => gateway.readings(),
      keySets: () => this.#lent('keySets')?.readings() ?? [],
      passwordUsers: () => this.#lent('passwordUsers')?.readings() ?? [],
    });
    this.#users.push(gateway);
    return this.#running;
  }

  /** Sends what waits when the last one leaves, for three seconds and until `late` is aborted. Never rejects. */
  async leave(gateway: GatewayHandle, late?: AbortSignal): Promise<void> {
    this.#users.splice(this.#users.lastIndexOf(gateway), 1);
    const running = this.#running;
    if (this.#users.length > 0 || !running) return;
    this.#running = undefined;
    const how = await end(running, late);
    if (how === 'late') gateway.log.warn({}, 'the collector did not take everything in time');
  }

  /** A config that is being set up, or fails, may not lend it yet. */
  #lent<S extends ServiceName>(name: S): Services[S] | undefined {
    return this.#users.map((gateway) => gateway.service(name)).findLast((one) => one);
  }
}

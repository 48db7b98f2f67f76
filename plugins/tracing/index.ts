/** What happens in the gateway, for those who watch it: traces and metrics of OpenTelemetry, metrics for Prometheus, an access log. */
import type { EventName, Events, GatewayHandle, Observers, Plugin } from '../../core/index.ts';
import { openAccessLog } from './access-log.ts';
import type { AccessLog } from './access-log.ts';
import { tracingOf } from './options.ts';
import type { Tracing, TracingOptions } from './options.ts';
import { requireOpenTelemetry } from './packages.ts';
import type { Telemetry, SharedTelemetry } from './telemetry.ts';

export type {
  AccessLogOptions,
  MetricsOptions,
  MetricsOtlpOptions,
  OtlpOptions,
  TracesOptions,
  TracingOptions,
} from './options.ts';

/** Events that are counted; the last two only where the options say so, as their observers cost something. */
function countedEvents({ metrics }: Tracing): readonly EventName[] {
  if (!metrics) return [];
  const dear = [
    ...(metrics.hooks ? ['hook' as const] : []),
    ...(metrics.statements ? ['statement' as const] : []),
  ];
  return ['login', 'discovery', 'refused', 'close', 'renewal', ...dear];
}

function forward<E extends EventName>(name: E, to: () => Observers | undefined): (event: Events[E]) => void {
  return (event) => to()?.[name]?.(event);
}

/** The function that it gives ends the answers to other workers. */
async function mountMetrics(
  gateway: GatewayHandle,
  { metrics }: Telemetry,
  options: Tracing,
): Promise<() => void> {
  if (!metrics || options.metrics?.prometheus !== true) return () => {};
  const { WorkerMetrics: Workers } = await import('./worker-metrics.ts');
  const workers = gateway.keep('metrics of this worker', () => new Workers());
  const read = (): ReturnType<typeof metrics.read> => metrics.read();
  const answer = async (): Promise<Response> => {
    const { PROMETHEUS_TYPE, prometheusText } = await import('./prometheus.ts');
    return new Response(prometheusText(await workers.ofGateway(gateway, read)), {
      headers: { 'content-type': PROMETHEUS_TYPE },
    });
  };
  gateway.route('/metrics', answer, { public: options.metrics.public });
  return workers.enter(gateway, read);
}

interface Entered {
  readonly telemetry: Telemetry;
  readonly leave: (late?: AbortSignal) => Promise<void>;
}

/** Starts traces and metrics, or joins those of another config with the same options. */
async function enter(checked: Tracing, gateway: GatewayHandle): Promise<Entered> {
  const { SharedTelemetry: Shared } = await import('./telemetry.ts');
  const shared = gateway.keep<SharedTelemetry>(JSON.stringify(checked), () => new Shared());
  const telemetry = shared.enter(checked, gateway);
  const stopAnswering = await mountMetrics(gateway, telemetry, checked);
  return {
    telemetry,
    leave(late) {
      stopAnswering();
      return shared.leave(gateway, late);
    },
  };
}

/**
 * Tells what happens: spans to an OpenTelemetry collector, metrics for Prometheus, a line per session.
 *
 * @place 2 at the top, so that its spans have the hooks of all other plugins in them
 * @throws ConfigError that names the option, such as `tracing.traces.ratio`, or the packages of OpenTelemetry that traces and metrics need
 * @example tracing({ traces: { endpoint: 'http://collector:4318', ratio: 0.01 }, accessLog: true })
 */
export function tracing(options: TracingOptions = {}): Plugin<never, never, 'tracing'> {
  const checked = tracingOf(options);
  const isTold = checked.traces !== undefined || checked.metrics !== undefined;
  if (isTold) requireOpenTelemetry();
  let telemetry: Telemetry | undefined;
  let access: AccessLog | undefined;
  const counters = (): Observers | undefined => telemetry?.metrics?.observers;
  const counted = countedEvents(checked).map((name) => [name, forward(name, counters)] as const);
  const on: Observers = Object.fromEntries(counted);
  return {
    name: 'tracing',
    options,
    startupParameters: ['postern.traceparent'],
    async setup(gateway: GatewayHandle) {
      const entered = isTold ? await enter(checked, gateway) : undefined;
      telemetry = entered?.telemetry;
      access = checked.accessLog && openAccessLog(checked.accessLog, gateway);
      return async (late) => {
        await access?.close();
        await entered?.leave(late);
      };
    },
    ...(checked.traces && { observe: (session) => telemetry?.traces?.observe(session) }),
    on: {
      ...on,
      close(event) {
        on.close?.(event);
        access?.write(event);
      },
    },
  };
}

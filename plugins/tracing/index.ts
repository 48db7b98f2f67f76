/** What happens in the gateway, for those who watch it: traces and metrics of OpenTelemetry, metrics for Prometheus, an access log. */
import type { EventName, Events, GatewayHandle, Observers, Plugin } from '../../core/index.ts';
import { openAccessLog } from './access-log.ts';
import type { AccessLog } from './access-log.ts';
import { tracingOf } from './options.ts';
import type { Tracing, TracingOptions } from './options.ts';
import type { Telemetry, SharedTelemetry } from './telemetry.ts';

export type {
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

function mountMetrics(gateway: GatewayHandle, { metrics }: Telemetry, options: Tracing): void {
  if (!metrics || options.metrics?.prometheus !== true) return;
  const answer = async (): Promise<Response> => {
    const { PROMETHEUS_TYPE } = await import('./prometheus.ts');
    return new Response(await metrics.text(), { headers: { 'content-type': PROMETHEUS_TYPE } });
  };
  gateway.route('/metrics', answer, { public: options.metrics.public });
}

/**
 * Tells what happens: spans of sessions and statements to a collector, metrics at `/metrics` of `admin`, a line per session.
 * Changes nothing about any session; a collector that is slow or gone is no session's trouble. List it first, so that its
 * times are those of the others.
 * @throws ConfigError that names the option, such as `tracing.traces.ratio`
 * @example tracing({ traces: { endpoint: 'http://collector:4318', ratio: 0.01 }, accessLog: true })
 */
export function tracing(options: TracingOptions = {}): Plugin<never, never, 'tracing'> {
  const checked = tracingOf(options);
  let telemetry: Telemetry | undefined;
  let access: AccessLog | undefined;
  const counters = (): Observers | undefined => telemetry?.metrics?.observers;
  const counted = countedEvents(checked).map((name) => [name, forward(name, counters)] as const);
  const on: Observers = Object.fromEntries(counted);
  return {
    name: 'tracing',
    startupParameters: ['postern.traceparent'],
    async setup(gateway: GatewayHandle) {
      const { SharedTelemetry: Shared } = await import('./telemetry.ts');
      const shared = gateway.keep<SharedTelemetry>(JSON.stringify(checked), () => new Shared());
      const running = shared.enter(checked, gateway);
      telemetry = running;
      access = checked.accessLog && openAccessLog(checked.accessLog, gateway);
      mountMetrics(gateway, running, checked);
      return async (late) => {
        await access?.close();
        await shared.leave(gateway, late);
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

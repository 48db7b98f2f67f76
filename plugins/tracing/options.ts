/** What `tracing()` may be told. A reload applies it to new sessions. */
import { badOption, readDuration, readFlag, readHttpUrl, readObject, readText } from '../../core/index.ts';
import type { Duration } from '../../core/index.ts';

/** Where OpenTelemetry data goes: OTLP over HTTP, as JSON (OpenTelemetry Protocol 1.x). */
export interface OtlpOptions {
  /**
   * The collector's address, OTLP over HTTP. `/v1/traces` or `/v1/metrics` is put behind it.
   *
   * @defaultValue `'http://localhost:4318'`
   * @example endpoint: 'http://collector:4318'
   */
  readonly endpoint?: string;
  /**
   * Headers of each request.
   *
   * @defaultValue none
   * @example headers: { authorization: env('OTLP_TOKEN') }
   */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Which sessions are traced. */
export interface TracesOptions extends OtlpOptions {
  /**
   * The share of sessions that is traced, from 0 to 1, of those whose clients say nothing about it.
   *
   * @defaultValue `1`
   * @example ratio: 0.01
   */
  readonly ratio?: number;
  /**
   * Whether clients may say it: `postern.traceparent` in the startup packet for a session, a comment with `traceparent='…'` at the end of a statement for
   * that statement.
   *
   * @defaultValue `true`
   * @example parents: false
   */
  readonly parents?: boolean;
}

/** Where metrics are sent, and how often. */
export interface MetricsOtlpOptions extends OtlpOptions {
  /**
   * How often metrics are sent, from `'1s'` to `'1d'`.
   *
   * @defaultValue `'1m'`
   * @example interval: '15s'
   */
  readonly interval?: Duration;
}

/** What is counted, and for whom. */
export interface MetricsOptions {
  /**
   * Whether `/metrics` of `admin` answers, in the text format 0.0.4 of Prometheus.
   *
   * @defaultValue `true`
   * @example prometheus: false
   */
  readonly prometheus?: boolean;
  /**
   * Whether `/metrics` answers without an operator's token. Metrics name databases, and no person.
   *
   * @defaultValue `false`
   * @example public: true
   */
  readonly public?: boolean;
  /**
   * A label `role` on connections. Not for configs in which each person has a role.
   *
   * @defaultValue `false`
   * @example roles: true
   */
  readonly roles?: boolean;
  /**
   * The histogram `postern_plugin_hook_duration_seconds`. Every call of a hook is timed.
   *
   * @defaultValue `false`
   * @example hooks: true
   */
  readonly hooks?: boolean;
  /**
   * The histogram `db_client_operation_duration_seconds`. Every statement is looked at.
   *
   * @defaultValue `false`
   * @example statements: true
   */
  readonly statements?: boolean;
  /**
   * Sends metrics to a collector as well.
   *
   * @defaultValue none: they are not sent
   * @example otlp: { endpoint: 'http://collector:4318' }
   */
  readonly otlp?: MetricsOtlpOptions;
}

/** A file for the access log. */
export interface AccessLogOptions {
  /**
   * The file, relative to the config. A reload (SIGHUP) opens it anew: rename it before, as logrotate does.
   *
   * @example file: 'access.log'
   */
  readonly file: string;
}

/**
 * Options of the `tracing` plugin.
 *
 * @reload new sessions
 */
export interface TracingOptions {
  /**
   * The resource attribute `service.name`.
   *
   * @defaultValue `'postern'`
   * @example serviceName: 'postern-eu'
   */
  readonly serviceName?: string;
  /**
   * Sends spans to an OpenTelemetry collector.
   *
   * @defaultValue none: there are no traces
   * @example traces: { endpoint: 'http://collector:4318', ratio: 0.01 }
   */
  readonly traces?: TracesOptions | false;
  /**
   * Counts, for Prometheus and for collectors. With `false` nothing is counted.
   *
   * @defaultValue `true`
   * @example metrics: { public: true, statements: true }
   */
  readonly metrics?: MetricsOptions | boolean;
  /**
   * A JSON line per session at its end: in the gateway's log (`access`), or in a file of its own.
   *
   * @defaultValue `false`
   * @example accessLog: { file: 'access.log' }
   */
  readonly accessLog?: boolean | AccessLogOptions;
  /**
   * Whether spans say who it is: `enduser.id`, `postern.issuer`, `postern.tenant`, `user.roles`.
   *
   * @defaultValue `false`
   * @example identity: true
   */
  readonly identity?: boolean;
}

/** The options, checked; absent is off. */
export interface Tracing {
  readonly serviceName: string;
  readonly traces?: Required<Omit<TracesOptions, 'endpoint'>> & { readonly url: string };
  readonly metrics?: Required<Omit<MetricsOptions, 'otlp'>> & { readonly otlp?: PushTarget };
  readonly accessLog?: { readonly file?: string };
  readonly identity: boolean;
}

/** Where metrics are sent. */
export interface PushTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly intervalMs: number;
}

function urlOf(path: string, value: unknown, signal: string): string {
  const url = readHttpUrl(path, value ?? 'http://localhost:4318', 'http://collector:4318');
  if (!url.pathname.endsWith(signal)) url.pathname = url.pathname.replace(/\/$/, '') + signal;
  return url.href;
}

function headersOf(path: string, value: unknown): Readonly<Record<string, string>> {
  if (value === undefined) return {};
  const headers = readObject<Record<string, unknown>>(path, value, Object.keys(value ?? {}));
  for (const [name, is] of Object.entries(headers)) readText(`${path}.${name}`, is);
  return { ...headers } as Record<string, string>;
}

function ratioOf(path: string, value: unknown): number {
  if (value === undefined) return 1;
  return typeof value === 'number' && value >= 0 && value <= 1
    ? value
    : badOption(path, 'a number from 0 to 1 is needed');
}

function tracesOf(given: unknown): Tracing['traces'] {
  if (given === undefined || given === false) return undefined;
  const path = 'tracing.traces';
  const names = ['endpoint', 'headers', 'ratio', 'parents'] as const;
  const { endpoint, headers, ratio, parents } = readObject<TracesOptions>(path, given, names);
  const traces = {
    url: urlOf(`${path}.endpoint`, endpoint, '/v1/traces'),
    headers: headersOf(`${path}.headers`, headers),
    ratio: ratioOf(`${path}.ratio`, ratio),
    parents: readFlag(`${path}.parents`, parents ?? true),
  };
  if (traces.ratio === 0 && !traces.parents) badOption(path, 'traces nothing; leave it out');
  return traces;
}

function pushOf(given: unknown): PushTarget | undefined {
  if (given === undefined) return undefined;
  const path = 'tracing.metrics.otlp';
  const names = ['endpoint', 'headers', 'interval'] as const;
  const { endpoint, headers, interval } = readObject<MetricsOtlpOptions>(path, given, names);
  return {
    url: urlOf(`${path}.endpoint`, endpoint, '/v1/metrics'),
    headers: headersOf(`${path}.headers`, headers),
    intervalMs: readDuration(`${path}.interval`, interval ?? '1m', { leastMs: 1_000, mostMs: 86_400_000 }),
  };
}

function metricsOf(given: unknown): Tracing['metrics'] {
  if (given === false) return undefined;
  const path = 'tracing.metrics';
  const flags = { prometheus: true, public: false, roles: false, hooks: false, statements: false };
  const names = Object.keys(flags) as (keyof typeof flags)[];
  const chosen = given === undefined || given === true ? {} : given;
  const options = readObject<MetricsOptions>(path, chosen, [...names, 'otlp']);
  const checked = names.map(
    (name) => [name, readFlag(`${path}.${name}`, options[name] ?? flags[name])] as const,
  );
  const otlp = pushOf(options.otlp);
  return { ...(Object.fromEntries(checked) as Record<keyof typeof flags, boolean>), ...(otlp && { otlp }) };
}

function accessLogOf(given: unknown): Tracing['accessLog'] {
  if (given === undefined || given === false) return undefined;
  if (given === true) return {};
  const { file } = readObject<{ readonly file: string }>('tracing.accessLog', given, ['file']);
  return { file: readText('tracing.accessLog.file', file) };
}

/** Checks the options. @throws ConfigError that names the option, such as `tracing.traces.ratio` */
export function tracingOf(given: unknown): Tracing {
  const names = ['serviceName', 'traces', 'metrics', 'accessLog', 'identity'] as const;
  const options = readObject<TracingOptions>('tracing', given, names);
  const [traces, metrics] = [tracesOf(options.traces), metricsOf(options.metrics)];
  const accessLog = accessLogOf(options.accessLog);
  if (!traces && !metrics && !accessLog)
    badOption('tracing', 'does nothing: turn on traces, metrics or accessLog');
  return {
    serviceName: readText('tracing.serviceName', options.serviceName ?? 'postern'),
    identity: readFlag('tracing.identity', options.identity ?? false),
    ...(traces && { traces }),
    ...(metrics && { metrics }),
    ...(accessLog && { accessLog }),
  };
}

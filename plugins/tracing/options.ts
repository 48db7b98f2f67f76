/** What `tracing()` may be told. A reload applies it to new sessions. */
import { badOption, readDuration, readFlag, readHttpUrl, readObject, readText } from '../../core/index.ts';
import type { Duration } from '../../core/index.ts';

/** Where OpenTelemetry data goes: OTLP over HTTP, as JSON (OpenTelemetry Protocol 1.x). */
export interface OtlpOptions {
  /** Base address; `/v1/traces` or `/v1/metrics` is put behind it. Default `'http://localhost:4318'`. */
  readonly endpoint?: string;
  /** Sent with each request, such as `{ authorization: env('OTLP_TOKEN') }`. Default: none. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Which sessions are traced. */
export interface TracesOptions extends OtlpOptions {
  /** How many of the sessions of clients that say nothing about it, from 0 to 1. Default 1. */
  readonly ratio?: number;
  /**
   * Whether clients may say so: `postern.traceparent` in the startup packet for a session, a comment with `traceparent='…'` at
   * the end of a statement for that. Default true.
   */
  readonly parents?: boolean;
}

/** Where metrics are sent, and how often. */
export interface MetricsOtlpOptions extends OtlpOptions {
  /** From `'1s'` to `'1d'`. Default `'1m'`. */
  readonly interval?: Duration;
}

/** What is counted, and for whom. */
export interface MetricsOptions {
  /** At `/metrics` of `admin`. Default true. */
  readonly prometheus?: boolean;
  /** Answers `/metrics` to whoever asks, not only to operators. Default false. */
  readonly public?: boolean;
  /** A label `role` on connections: for configs with few roles. Default false. */
  readonly roles?: boolean;
  /** A histogram of the time that each plugin's hooks take; every call is timed. Default false. */
  readonly hooks?: boolean;
  /** A histogram of the time that statements take; every statement is looked at. Default false. */
  readonly statements?: boolean;
  /** Sends them as well. Default: nobody. */
  readonly otlp?: MetricsOtlpOptions;
}

/** Options of the `tracing` plugin. */
export interface TracingOptions {
  /** `service.name`. Default `'postern'`. */
  readonly serviceName?: string;
  /** Default: no traces. */
  readonly traces?: TracesOptions | false;
  /** Default: counted, and shown at `/metrics`. */
  readonly metrics?: MetricsOptions | boolean;
  /** A line per session at its end: in the gateway's log, or in a file of its own, relative to the config. Default false. */
  readonly accessLog?: boolean | { readonly file: string };
  /** Puts the subject, its issuer, the tenant and the role into spans. Default false. */
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

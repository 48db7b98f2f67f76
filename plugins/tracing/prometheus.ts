/** Metrics as text for Prometheus (exposition format 0.0.4), by the names OpenTelemetry has for that. */
import { DataPointType } from '@opentelemetry/sdk-metrics';
import type { DataPoint, Histogram, MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics';

/** What `Content-Type` says of it. */
export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

type Labels = DataPoint<unknown>['attributes'];

const UNITS: Readonly<Record<string, string>> = { s: 'seconds', By: 'bytes' };

/** `db.client.operation.duration` in `s` is `db_client_operation_duration_seconds`; what only grows ends with `_total`. */
export function prometheusName({ descriptor: { name, unit }, ...data }: MetricData): string {
  const plain = name.replace(/[^a-zA-Z0-9_:]/g, '_');
  const suffix = UNITS[unit];
  const measured = suffix === undefined || plain.endsWith(`_${suffix}`) ? plain : `${plain}_${suffix}`;
  const grows = data.dataPointType === DataPointType.SUM && data.isMonotonic;
  return grows && !measured.endsWith('_total') ? `${measured}_total` : measured;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function labels(attributes: Labels, more: Readonly<Record<string, string>> = {}): string {
  const pairs = Object.entries({ ...attributes, ...more }).map(
    ([name, value]) => `${name.replace(/\W/g, '_')}="${escaped(String(value)).replaceAll('"', '\\"')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

/** One value of a metric: the name with its labels, as it stands in the text. */
export type TextSample = readonly [series: string, value: number];

/** A metric with its values. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly TextSample[];
}

function histogram(name: string, { attributes, value }: DataPoint<Histogram>): readonly TextSample[] {
  const { boundaries, counts } = value.buckets;
  let sum = 0;
  const buckets = counts.map((count, i): TextSample => {
    sum += count;
    return [`${name}_bucket${labels(attributes, { le: String(boundaries[i] ?? '+Inf') })}`, sum];
  });
  const all = labels(attributes);
  return [...buckets, [`${name}_sum${all}`, value.sum ?? 0], [`${name}_count${all}`, value.count]];
}

function samples(name: string, data: MetricData): readonly TextSample[] {
  if (data.dataPointType === DataPointType.HISTOGRAM) {
    return data.dataPoints.flatMap((point) => histogram(name, point));
  }
  if (data.dataPointType === DataPointType.EXPONENTIAL_HISTOGRAM) return [];
  return data.dataPoints.map(({ attributes, value }) => [`${name}${labels(attributes)}`, value]);
}

function typeOf(data: MetricData): Family['type'] {
  if (data.dataPointType === DataPointType.HISTOGRAM) return 'histogram';
  return data.dataPointType === DataPointType.SUM && data.isMonotonic ? 'counter' : 'gauge';
}

/** All of them; those without a value are left out. */
export function familiesOf({ scopeMetrics }: ResourceMetrics): readonly Family[] {
  return scopeMetrics
    .flatMap(({ metrics }) => metrics)
    .flatMap((data) => {
      const name = prometheusName(data);
      const values = samples(name, data);
      if (values.length === 0) return [];
      return [{ name, help: escaped(data.descriptor.description), type: typeOf(data), samples: values }];
    });
}

/** As Prometheus reads them. */
export function prometheusText(families: readonly Family[]): string {
  const lines = families.flatMap(({ name, help, type, samples: values }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...values.map(([series, value]) => `${series} ${value}`),
  ]);
  return `${lines.join('\n')}\n`;
}

/** Spans as OTLP writes them in JSON (OpenTelemetry Protocol 1.x, "OTLP/JSON"; trace.proto). */
import type { AttributeValue, Attributes, HrTime, SpanContext } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';

/** Of `Span.flags`: it is known whether the parent is in another process, and it is. */
const KNOWN = 0x100;
const REMOTE = 0x200;

/** A value, or `[…]`. */
function valueJson(value: AttributeValue): string {
  if (typeof value === 'string') return `{"stringValue":${JSON.stringify(value)}}`;
  if (typeof value === 'boolean') return `{"boolValue":${value}}`;
  if (typeof value === 'number')
    return Number.isInteger(value) ? `{"intValue":${value}}` : `{"doubleValue":${value}}`;
  const values = value.flatMap((one) => (one === null || one === undefined ? [] : [valueJson(one)]));
  return `{"arrayValue":{"values":[${values.join()}]}}`;
}

/** Attributes with commas between them, and no brackets; what is undefined is left out. */
export function attributesJson(attributes: Attributes): string {
  return Object.entries(attributes)
    .flatMap(([key, value]) =>
      value === undefined ? [] : [`{"key":${JSON.stringify(key)},"value":${valueJson(value)}}`],
    )
    .join();
}

const ofHrTime = ([seconds, rest]: HrTime): string =>
  String(BigInt(seconds) * 1_000_000_000n + BigInt(Math.round(rest)));

/** Whose child a span is: its trace, its parent if it has one, and its flags. */
export function parentageJson(traceId: string, parent: SpanContext | undefined): string {
  const flags = 1 | KNOWN | (parent?.isRemote === true ? REMOTE : 0);
  const above = parent ? `"parentSpanId":"${parent.spanId}",` : '';
  return `"traceId":"${traceId}",${above}"flags":${flags}`;
}

/** `Span.links` to one other span. */
export const linkJson = ({ traceId, spanId }: SpanContext): string =>
  `"links":[{"traceId":"${traceId}","spanId":"${spanId}","flags":${1 | KNOWN}}]`;

/** Status as the API numbers it: 2 is an error. */
export const statusJson = (code: number, message?: string): string =>
  `"status":{"code":${code}${message === undefined ? '' : `,"message":${JSON.stringify(message)}`}}`;

/** A span of the SDK, without events and links: the plugin's have none. */
export function spanJson(span: ReadableSpan): string {
  const { traceId, spanId } = span.spanContext();
  return (
    `{${parentageJson(traceId, span.parentSpanContext)},"spanId":"${spanId}","name":${JSON.stringify(span.name)},` +
    // The protocol counts kinds from 1: 0 is for one that is not known.
    `"kind":${span.kind + 1},"startTimeUnixNano":"${ofHrTime(span.startTime)}","endTimeUnixNano":"${ofHrTime(span.endTime)}",` +
    `"attributes":[${attributesJson(span.attributes)}],${statusJson(span.status.code, span.status.message)}}`
  );
}

/** A collector of OpenTelemetry data that speaks OTLP over HTTP with JSON bodies, and can be slow or unwilling. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Pair {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface RawSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Pair[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status: { readonly code?: number; readonly message?: string };
}

/** A span as it came. */
export interface CollectedSpan extends Omit<RawSpan, 'attributes'> {
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Of the process. */
  readonly resource: Readonly<Record<string, unknown>>;
}

interface TraceRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Pair[] };
    readonly scopeSpans: readonly { readonly spans: readonly RawSpan[] }[];
  }[];
}

interface MetricRequest {
  readonly resourceMetrics: readonly {
    readonly scopeMetrics: readonly { readonly metrics: readonly { readonly name: string }[] }[];
  }[];
}

/** How it answers: `hang` takes requests and says nothing. */
export type Mood = 'well' | 'hang' | 'unwilling';

/** One that runs. */
export interface Collector {
  readonly endpoint: string;
  readonly spans: CollectedSpan[];
  /** Names of metrics that came. */
  readonly metrics: Set<string>;
  /** Every body and header, to look for secrets in it. */
  readonly text: () => string;
  /** Requests so far. */
  readonly requests: () => number;
  mood: Mood;
  stop(): Promise<void>;
}

function plain(pairs: readonly Pair[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    pairs.map(({ key, value }) => {
      const [one] = Object.values(value);
      return [key, 'intValue' in value ? Number(one) : one];
    }),
  );
}

function spansOf({ resourceSpans }: TraceRequest): readonly CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        ...span,
        attributes: plain(span.attributes),
        resource: plain(resource.attributes),
      })),
    ),
  );
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** Starts it on a free port. */
export async function startCollector(): Promise<Collector> {
  const heard: string[] = [];
  const spans: CollectedSpan[] = [];
  const metrics = new Set<string>();
  const take = (path: string | undefined, body: string): void => {
    if (path === '/v1/traces') spans.push(...spansOf(JSON.parse(body) as TraceRequest));
    if (path !== '/v1/metrics') return;
    const { resourceMetrics } = JSON.parse(body) as MetricRequest;
    for (const { scopeMetrics } of resourceMetrics)
      for (const { metrics: some } of scopeMetrics) for (const { name } of some) metrics.add(name);
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await bodyOf(request);
    heard.push(JSON.stringify(request.headers), body);
    if (collector.mood === 'hang') return;
    if (collector.mood === 'well') take(request.url, body);
    response.writeHead(collector.mood === 'well' ? 200 : 400, { 'content-type': 'application/json' });
    response.end('{}');
  };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const collector: Collector = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    metrics,
    text: () => heard.join('\n'),
    requests: () => heard.length / 2,
    mood: 'well',
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close').catch(() => undefined);
    },
  };
  return collector;
}

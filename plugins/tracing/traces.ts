/** Decides which sessions are traced, and sends their spans off: in batches, with an end to what may wait. */
import type { Tracer } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import type { Resource } from '@opentelemetry/resources';
import { AlwaysOnSampler, BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { Logger, Session, SessionObservers } from '../../core/index.ts';
import { Texts } from './attributes.ts';
import { CollectorAgent } from './collector-agent.ts';
import type { Tracing } from './options.ts';
import { Outcome } from './outcome.ts';
import { SessionTrace, loneStatement } from './session-trace.ts';
import type { TraceTools } from './session-trace.ts';
import { COMMENT_MARK, parseTraceparent } from './traceparent.ts';

/** Spans that may wait to be sent; later ones are dropped. */
const MOST_WAITING = 4_096;
/** How long a collector may take for a batch, in milliseconds. */
const PATIENCE_MS = 5_000;

/** The startup parameter that says under which span a session is. */
export const TRACEPARENT = 'postern.traceparent';

/** Counts what becomes of spans; a collector that is not there is complained of once. */
class Watched implements SpanExporter {
  readonly #exporter: SpanExporter;
  readonly #outcome: Outcome;

  constructor(exporter: SpanExporter, outcome: Outcome) {
    this.#exporter = exporter;
    this.#outcome = outcome;
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.#exporter.export(spans, (result) => {
      const code: number = result.code;
      this.#outcome.sent(spans.length, code > 0 ? (result.error ?? new Error('unknown')) : undefined);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }
}

/** One per set of options. */
export class Traces {
  readonly outcome: Outcome;
  readonly #options: NonNullable<Tracing['traces']>;
  readonly #provider: TracerProvider;
  readonly #agent: CollectorAgent;
  readonly #tools: TraceTools;

  constructor(options: NonNullable<Tracing['traces']>, identity: boolean, resource: Resource, log: Logger) {
    this.#options = options;
    this.outcome = new Outcome('spans', log);
    const { url, headers } = options;
    this.#agent = new CollectorAgent(url);
    const otlp = new OTLPTraceExporter({
      ...this.#agent.options,
      url,
      headers: { ...headers },
      timeoutMillis: PATIENCE_MS,
      concurrencyLimit: 4,
    });
    const batches = new BatchSpanProcessor({
      exporter: new Watched(otlp, this.outcome),
      maxQueueSize: MOST_WAITING,
      maxExportBatchSize: 512,
      scheduledDelayMillis: 1_000,
      exportTimeoutMillis: 2 * PATIENCE_MS,
    });
    // Whoever is not sampled has no span at all: every span that is made is wanted.
    this.#provider = new TracerProvider({
      resource,
      sampler: new AlwaysOnSampler(),
      spanProcessors: [batches],
    });
    const tracer = this.#provider.getTracer('postern');
    this.#tools = {
      tracer: counting(tracer, this.outcome),
      texts: new Texts(),
      identity,
      parents: options.parents,
    };
  }

  /** Decides about a session. */
  observe(session: Session): SessionObservers | undefined {
    const { ratio, parents } = this.#options;
    const parent = parents ? parseTraceparent(session.startup.options?.[TRACEPARENT]) : undefined;
    if (parent ? parent.sampled : Math.random() < ratio) {
      return new SessionTrace(session, parent, this.#tools).observers();
    }
    if (!parents) return undefined;
    return { statementsFrom: COMMENT_MARK, statement: (event) => loneStatement(event, this.#tools) };
  }

  /** Sends what waits. Rejects if that fails; call it once. */
  async shutdown(): Promise<void> {
    try {
      await this.#provider.shutdown();
    } finally {
      await this.#agent.close();
    }
  }
}

function counting(tracer: Tracer, outcome: Outcome): Tracer {
  return {
    startSpan(name, options, context) {
      outcome.made += 1;
      return tracer.startSpan(name, options, context);
    },
    startActiveSpan: tracer.startActiveSpan.bind(tracer),
  };
}

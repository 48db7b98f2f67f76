/** Decides which sessions are traced, and sends their spans off. */
import type { Resource } from '@opentelemetry/resources';
import { AlwaysOnSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Logger, Session, SessionObservers } from '../../core/index.ts';
import { Texts } from './attributes.ts';
import { CollectorAgent } from './collector-agent.ts';
import type { Tracing } from './options.ts';
import { Outcome } from './outcome.ts';
import { SessionTrace } from './session-trace.ts';
import type { TraceTools } from './session-trace.ts';
import { SpanBatches } from './span-batches.ts';
import { StatementSpans } from './statement-spans.ts';
import { COMMENT_MARK, parseTraceparent } from './traceparent.ts';

/** The startup parameter that says under which span a session is. */
export const TRACEPARENT = 'postern.traceparent';

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
    const batches = new SpanBatches({ url, headers, agent: this.#agent, resource }, this.outcome);
    // Whoever is not sampled has no span at all: every span that is made is wanted.
    this.#provider = new TracerProvider({
      resource,
      sampler: new AlwaysOnSampler(),
      spanProcessors: [batches],
    });
    this.#tools = {
      tracer: this.#provider.getTracer('postern'),
      spans: batches,
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
    let spans: StatementSpans | undefined;
    const alone = (): StatementSpans => (spans ??= new StatementSpans(session, this.#tools));
    return { statementsFrom: COMMENT_MARK, statement: (event) => alone().tellAlone(event) };
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

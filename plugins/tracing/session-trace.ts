/** The spans of one session that is traced: the session, its login, what that took, and its statements. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import type { Attributes, Context, Span, Tracer } from '@opentelemetry/api';
import type { Ended, Events, Session, SessionObservers } from '../../core/index.ts';
import { clientAttributes, failure, identityAttributes, serverAttributes } from './attributes.ts';
import { StatementSpans } from './statement-spans.ts';
import type { StatementTools } from './statement-spans.ts';
import type { RemoteParent } from './traceparent.ts';

/** What spans are made with. */
export interface TraceTools extends StatementTools {
  readonly tracer: Tracer;
  /** Whether spans say who it is. */
  readonly identity: boolean;
}

function under({ traceId, spanId }: RemoteParent): Context {
  const parent = { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true };
  return trace.setSpanContext(ROOT_CONTEXT, parent);
}

function finish(span: Span, { startedAt, durationMs, sqlstate }: Ended): void {
  // What went wrong in words may have somebody's data in it.
  if (sqlstate !== undefined && sqlstate >= '02')
    span.setStatus({ code: SpanStatusCode.ERROR, message: sqlstate });
  span.end(startedAt + durationMs);
}

/** Made when the session begins; everything is told to what {@link observers} gives. */
export class SessionTrace {
  readonly #tools: TraceTools;
  readonly #span: Span;
  readonly #within: Context;
  readonly #login: Span;
  readonly #loggingIn: Context;
  readonly #statements: StatementSpans;
  #loggedIn = false;

  constructor(session: Session, parent: RemoteParent | undefined, tools: TraceTools) {
    this.#tools = tools;
    const { tracer } = tools;
    const options = { kind: SpanKind.SERVER, attributes: clientAttributes(session) };
    this.#span = tracer.startSpan('session', options, parent ? under(parent) : ROOT_CONTEXT);
    this.#within = trace.setSpan(ROOT_CONTEXT, this.#span);
    this.#statements = new StatementSpans(session, tools, this.#span.spanContext());
    this.#login = tracer.startSpan('login', {}, this.#within);
    this.#loggingIn = trace.setSpan(this.#within, this.#login);
  }

  observers(): SessionObservers {
    return {
      hook: (event) => this.#hook(event),
      queue: (event) => this.#step('queue', event, {}),
      connect: (event) => this.#step('connect', event, serverAttributes(event), SpanKind.CLIENT),
      login: (event) => this.#endLogin(event),
      renewal: (event) => this.#step('renewal', event, {}),
      statement: (event) => this.#statements.tell(event),
      close: (event) => this.#close(event),
    };
  }

  #hook(event: Events['hook']): void {
    const { plugin, hook } = event;
    this.#step(`${plugin} ${hook}`, event, { 'postern.plugin': plugin, 'postern.hook': hook });
  }

  #step(name: string, event: Ended, more: Attributes, kind = SpanKind.INTERNAL): void {
    const attributes = { ...more, ...failure(event.sqlstate) };
    const context = this.#loggedIn ? this.#within : this.#loggingIn;
    finish(
      this.#tools.tracer.startSpan(name, { kind, startTime: event.startedAt, attributes }, context),
      event,
    );
  }

  #endLogin(event: Ended): void {
    if (this.#loggedIn) return;
    this.#loggedIn = true;
    if (this.#tools.identity) this.#span.setAttributes(identityAttributes(event.session));
    this.#login.setAttributes(failure(event.sqlstate));
    finish(this.#login, event);
  }

  #close(event: Events['close']): void {
    this.#endLogin(event);
    const { reason, used } = event;
    this.#span.setAttributes({
      'postern.close.reason': reason.kind,
      ...(used && {
        'postern.queries': used.queries,
        'postern.transactions': used.transactions,
        'postern.bytes.received': used.received,
        'postern.bytes.sent': used.sent,
      }),
      ...failure(event.sqlstate),
    });
    finish(this.#span, event);
  }
}

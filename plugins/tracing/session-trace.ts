/** The spans of one session that is traced: the session, its login, what that took, and its statements. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import type { Attributes, Context, Link, Span, Tracer } from '@opentelemetry/api';
import type { Ended, Events, Session, SessionObservers } from '../../core/index.ts';
import {
  clientAttributes,
  failure,
  identityAttributes,
  serverAttributes,
  statementAttributes,
} from './attributes.ts';
import type { Texts } from './attributes.ts';
import { parentInComment } from './traceparent.ts';
import type { RemoteParent } from './traceparent.ts';

/** What spans are made with. */
export interface TraceTools {
  readonly tracer: Tracer;
  readonly texts: Texts;
  /** Whether spans say who it is. */
  readonly identity: boolean;
  /** Whether comments of clients are followed. */
  readonly parents: boolean;
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

function statementSpan(
  event: Events['statement'],
  { tracer, texts }: TraceTools,
  context: Context,
  links: Link[],
): void {
  const { name, attributes } = statementAttributes(event, texts);
  const options = { kind: SpanKind.CLIENT, startTime: event.startedAt, attributes, links };
  finish(tracer.startSpan(name, options, context), event);
}

/** A statement of a session that is not traced, under the span its client says. Nothing where it says none. */
export function loneStatement(event: Events['statement'], tools: TraceTools): void {
  const parent = parentInComment(event.sql);
  if (parent?.sampled === true) statementSpan(event, tools, under(parent), []);
}

/** Made when the session begins; everything is told to what {@link observers} gives. */
export class SessionTrace {
  readonly #tools: TraceTools;
  readonly #span: Span;
  readonly #within: Context;
  readonly #login: Span;
  readonly #loggingIn: Context;
  #loggedIn = false;

  constructor(session: Session, parent: RemoteParent | undefined, tools: TraceTools) {
    this.#tools = tools;
    const { tracer } = tools;
    const options = { kind: SpanKind.SERVER, attributes: clientAttributes(session) };
    this.#span = tracer.startSpan('session', options, parent ? under(parent) : ROOT_CONTEXT);
    this.#within = trace.setSpan(ROOT_CONTEXT, this.#span);
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
      statement: (event) => this.#statement(event),
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

  #statement(event: Events['statement']): void {
    const parent = this.#tools.parents ? parentInComment(event.sql) : undefined;
    if (parent?.sampled !== true) return statementSpan(event, this.#tools, this.#within, []);
    return statementSpan(event, this.#tools, under(parent), [{ context: this.#span.spanContext() }]);
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

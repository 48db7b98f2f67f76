/** Spans of the statements of one session, written down as the protocol's JSON: the SDK would make two objects of each, and keep them. */
import type { SpanContext } from '@opentelemetry/api';
import { TraceFlags } from '@opentelemetry/api';
import type { Events, Session } from '../../core/index.ts';
import { FUNCTION_CALL, ROWS, placeAttributes, resultAttributes, serverAttributes } from './attributes.ts';
import type { Texts } from './attributes.ts';
import type { JsonBytes } from './json-bytes.ts';
import { attributesJson, linkJson, parentageJson, statusJson } from './span-json.ts';
import { parentInComment } from './traceparent.ts';
import type { RemoteParent } from './traceparent.ts';

/** Takes spans as JSON. */
export interface SpanTarget {
  /** Where the next one is put, up to {@link end}; undefined where there is no room for it. */
  begin(): JsonBytes | undefined;
  end(): void;
}

/** What they are made with. */
export interface StatementTools {
  readonly spans: SpanTarget;
  readonly texts: Texts;
  /** Whether comments of clients are followed. */
  readonly parents: boolean;
}

type Statement = Events['statement'];

/** SpanKind CLIENT, as the protocol counts. */
const KIND = '"kind":3,';
const NAME = Buffer.from('","name":');
const START = Buffer.from(',"startTimeUnixNano":"');
const END = Buffer.from('","endTimeUnixNano":"');
const ATTRIBUTES = Buffer.from('","attributes":[');
const ROWS_KEY = `{"key":"${ROWS}","value":{"intValue":`;
const ALL_WELL = Buffer.from(`}}],${statusJson(0)}}`);

const contextOf = ({ traceId, spanId }: RemoteParent): SpanContext => ({
  traceId,
  spanId,
  traceFlags: TraceFlags.SAMPLED,
  isRemote: true,
});

/** One per session whose statements are traced. */
export class StatementSpans {
  readonly #tools: StatementTools;
  readonly #session: Session;
  /** The session's span; undefined if it has none. */
  readonly #within: SpanContext | undefined;
  /** In front of each span's own members. */
  readonly #head: Uint8Array;
  #upstream: Session['upstream'];
  #host: string | undefined;
  #port: number | undefined;
  /** Attributes of the session and its server, and that of the rows but for its value. */
  #place: Uint8Array | undefined;

  constructor(session: Session, tools: StatementTools, within?: SpanContext) {
    this.#tools = tools;
    this.#session = session;
    this.#within = within;
    this.#head = Buffer.from(within ? headUnder(within.traceId, within) : '');
  }

  /** Under the span that its client says, else under that of the session. */
  tell(event: Statement): void {
    const parent = this.#tools.parents ? parentInComment(event.sql) : undefined;
    if (parent?.sampled !== true) this.#add(event, this.#head, '');
    else this.#add(event, headOf(parent), this.#within ? `,${linkJson(this.#within)}` : '');
  }

  /** Under the span that its client says; nothing where it says none. */
  tellAlone(event: Statement): void {
    const parent = parentInComment(event.sql);
    if (parent?.sampled === true) this.#add(event, headOf(parent), '');
  }

  #add(event: Statement, head: Uint8Array, links: string): void {
    const { kind, sql, startedAt, durationMs, rows, tags, sqlstate } = event;
    const to = this.#tools.spans.begin();
    if (!to) return;
    const { name, attributes } = kind === 'function-call' ? FUNCTION_CALL : this.#tools.texts.of(sql);
    to.part(head);
    to.spanId();
    to.part(NAME);
    to.part(name);
    to.part(START);
    to.nanoseconds(startedAt);
    to.part(END);
    to.nanoseconds(startedAt + durationMs);
    to.part(ATTRIBUTES);
    to.part(attributes);
    to.part(this.#placeOf(event));
    to.integer(rows);
    const isPlain = tags.length <= 1 && sqlstate === undefined && links === '';
    if (isPlain) to.part(ALL_WELL);
    else to.text(`}}${restOf(event)}${links}}`);
    this.#tools.spans.end();
  }

  /** Made anew when the session has another server. */
  #placeOf({ host, port }: Statement): Uint8Array {
    const { upstream } = this.#session;
    if (!this.#place || host !== this.#host || port !== this.#port || upstream !== this.#upstream) {
      this.#host = host;
      this.#port = port;
      this.#upstream = upstream;
      const server = serverAttributes({
        ...(host !== undefined && { host }),
        ...(port !== undefined && { port }),
      });
      const attributes = attributesJson({ ...placeAttributes(this.#session), ...server });
      this.#place = Buffer.from(`${attributes},${ROWS_KEY}`);
    }
    return this.#place;
  }
}

/** What stands behind the rows of a statement with several results or an error. */
function restOf(event: Statement): string {
  const { sqlstate } = event;
  const more = attributesJson(resultAttributes(event));
  // What went wrong in words may have somebody's data in it.
  const status = sqlstate !== undefined && sqlstate >= '02' ? statusJson(2, sqlstate) : statusJson(0);
  return `${more === '' ? '' : `,${more}`}],${status}`;
}

const headUnder = (traceId: string, parent: SpanContext): string =>
  `{${parentageJson(traceId, parent)},${KIND}"spanId":"`;

const headOf = (parent: RemoteParent): Uint8Array =>
  Buffer.from(headUnder(parent.traceId, contextOf(parent)));

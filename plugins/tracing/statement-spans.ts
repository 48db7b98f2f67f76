/** Spans of the statements of one session, written down as the protocol's JSON: the SDK would make two objects of each, and keep them. */
import type { SpanContext } from '@opentelemetry/api';
import { TraceFlags } from '@opentelemetry/api';
import { RandomIdGenerator } from '@opentelemetry/sdk-trace';
import type { Events, Session } from '../../core/index.ts';
import { FUNCTION_CALL, ROWS, placeAttributes, resultAttributes, serverAttributes } from './attributes.ts';
import type { Texts } from './attributes.ts';
import { attributesJson, linkJson, nanoseconds, parentageJson, statusJson } from './span-json.ts';
import { parentInComment } from './traceparent.ts';
import type { RemoteParent } from './traceparent.ts';

/** What they are made with. */
export interface StatementTools {
  /** Takes a span as JSON. */
  readonly add: (span: string) => void;
  readonly texts: Texts;
  /** Whether comments of clients are followed. */
  readonly parents: boolean;
}

type Statement = Events['statement'];

const ids = new RandomIdGenerator();
/** SpanKind CLIENT, as the protocol counts. */
const KIND = '"kind":3,';
const WELL = statusJson(0);

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
  readonly #head: string;
  #upstream: Session['upstream'];
  #host: string | undefined;
  #port: number | undefined;
  /** Attributes of the session and its server, with a comma behind each. */
  #place = '';

  constructor(session: Session, tools: StatementTools, within?: SpanContext) {
    this.#tools = tools;
    this.#session = session;
    this.#within = within;
    this.#head = within ? `{${parentageJson(within.traceId, within)},${KIND}"spanId":"` : '';
  }

  /** Under the span that its client says, else under that of the session. */
  tell(event: Statement): void {
    const parent = this.#tools.parents ? parentInComment(event.sql) : undefined;
    if (parent?.sampled !== true) this.#add(event, this.#head, '');
    else this.#add(event, headUnder(parent), this.#within ? `,${linkJson(this.#within)}` : '');
  }

  /** Under the span that its client says; nothing where it says none. */
  tellAlone(event: Statement): void {
    const parent = parentInComment(event.sql);
    if (parent?.sampled === true) this.#add(event, headUnder(parent), '');
  }

  #add(event: Statement, head: string, links: string): void {
    const { kind, sql, startedAt, durationMs, rows, tags, sqlstate } = event;
    const { name, attributes } = kind === 'function-call' ? FUNCTION_CALL : this.#tools.texts.of(sql);
    const more = tags.length > 1 || sqlstate !== undefined ? attributesJson(resultAttributes(event)) : '';
    // What went wrong in words may have somebody's data in it.
    const status = sqlstate !== undefined && sqlstate >= '02' ? statusJson(2, sqlstate) : WELL;
    this.#tools.add(
      `${head}${ids.generateSpanId()}","name":${name},"startTimeUnixNano":"${nanoseconds(startedAt)}",` +
        `"endTimeUnixNano":"${nanoseconds(startedAt + durationMs)}","attributes":[${attributes}${this.#placeOf(event)}` +
        `${more === '' ? '' : `${more},`}{"key":"${ROWS}","value":{"intValue":${rows}}}],${status}${links}}`,
    );
  }

  /** Made anew when the session has another server. */
  #placeOf({ host, port }: Statement): string {
    const { upstream } = this.#session;
    if (this.#place === '' || host !== this.#host || port !== this.#port || upstream !== this.#upstream) {
      this.#host = host;
      this.#port = port;
      this.#upstream = upstream;
      const server = serverAttributes({
        ...(host !== undefined && { host }),
        ...(port !== undefined && { port }),
      });
      this.#place = `${attributesJson({ ...placeAttributes(this.#session), ...server })},`;
    }
    return this.#place;
  }
}

function headUnder(parent: RemoteParent): string {
  return `{${parentageJson(parent.traceId, contextOf(parent))},${KIND}"spanId":"`;
}

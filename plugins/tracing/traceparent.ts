/** The trace that a client belongs to (W3C Trace Context), as it says in the startup packet or behind a statement. */

/** Somebody else's span. */
export interface RemoteParent {
  /** 32 digits of lower-case hex. */
  readonly traceId: string;
  /** 16 of them. */
  readonly spanId: string;
  /** Whether its owner records it. */
  readonly sampled: boolean;
}

/** In a comment as SQLCommenter writes it, values encoded for URLs. */
export const COMMENT_MARK = "traceparent='";

/** How much of a statement's end is looked at, in characters. */
const TAIL = 2_048;

const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
/** What may stand behind the comment. */
const REST = /^[\s;]*$/;

/** Reads the header's value (§3.2); undefined for what is not one: it is to be ignored. */
export function parseTraceparent(value: string | undefined): RemoteParent | undefined {
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(value ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || version === 'ff') return undefined;
  if (version === '00' && more !== undefined) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags ?? '', 16) & 1) === 1 };
}

/** The one in the comment at the end of a statement. */
export function parentInComment(sql: string): RemoteParent | undefined {
  const tail = sql.slice(-TAIL);
  // Most statements have none: no pattern is tried on them.
  const start = tail.lastIndexOf('/*');
  if (start < 0 || !tail.includes(COMMENT_MARK, start)) return undefined;
  const end = tail.indexOf('*/', start + 2);
  if (end < 0 || !REST.test(tail.slice(end + 2))) return undefined;
  const comment = tail.slice(start + 2, end);
  const [, value] = /(?:^|[,\s])traceparent='([^']*)'/.exec(comment) ?? [];
  return parseTraceparent(value);
}

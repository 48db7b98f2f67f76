/** Which message of the server answers which of the client (manual, 55.2.2 and 55.2.3), as a table. */
import { Backend } from '../wire/frames.ts';
import { Kind, Op } from './entries.ts';
import { Verdict } from './verdict.ts';

/** Messages that answer no request and may arrive at any time. */
export const ASIDE = new Set<number>([
  Backend.noticeResponse,
  Backend.parameterStatus,
  Backend.notificationResponse,
]);

/** How a server message relates to the oldest unanswered message of the client. */
export const Answer = {
  /** It does not answer that message: the order of requests and answers is lost. */
  none: 0,
  /** More answers to the same message follow. */
  part: 1,
  /** The last answer to that message. */
  last: 2,
} as const;
export type Answer = (typeof Answer)[keyof typeof Answer];

const ENDS_READY = (1 << Op.query) | (1 << Op.functionCall) | (1 << Op.sync);
const CHANGES = ENDS_READY | (1 << Op.execute);

/** Sets of operations, with the bit `1 << op` of each. */
export const Ops = {
  /** ReadyForQuery comes without another word of the client. */
  endReady: ENDS_READY,
  /** They may set parameters, end or break a transaction, or begin a COPY. */
  change: CHANGES,
  /** A Bind may set parameters too: types and functions of users run in it, such as the check of a domain. */
  set: CHANGES | (1 << Op.bind),
  /** A probe would not tell what is behind them: a COPY may have begun, or the client's own Close has its answer. */
  hideProbe: (1 << Op.query) | (1 << Op.functionCall) | (1 << Op.execute) | (1 << Op.close),
} as const;

/** Messages that end a Query or FunctionCall never end it alone: ReadyForQuery does. */
const RESULT = [
  Backend.dataRow,
  Backend.copyData,
  Backend.copyDone,
  Backend.copyInResponse,
  Backend.copyOutResponse,
  Backend.copyBothResponse,
];

const PARTS: readonly (readonly [op: number, types: readonly number[]])[] = [
  [Op.query, [...RESULT, Backend.rowDescription, Backend.commandComplete, Backend.emptyQueryResponse]],
  [Op.execute, RESULT],
  [Op.describe, [Backend.parameterDescription]],
  [Op.functionCall, [Backend.functionCallResponse]],
];

const LASTS: readonly (readonly [op: number, types: readonly number[]])[] = [
  [Op.query, [Backend.readyForQuery]],
  [Op.functionCall, [Backend.readyForQuery]],
  [Op.sync, [Backend.readyForQuery]],
  [Op.parse, [Backend.parseComplete]],
  [Op.bind, [Backend.bindComplete]],
  [Op.close, [Backend.closeComplete]],
  [Op.describe, [Backend.rowDescription, Backend.noData]],
  [Op.execute, [Backend.commandComplete, Backend.emptyQueryResponse, Backend.portalSuspended]],
];

const TABLE: readonly Uint8Array[] = Array.from({ length: 16 }, () => new Uint8Array(256));
for (const [answer, rows] of [
  [Answer.part, PARTS],
  [Answer.last, LASTS],
] as const) {
  for (const [op, types] of rows) for (const type of types) TABLE[op]?.fill(answer, type, type + 1);
}

/** What a server message of `type` is to a client message with operation `op` (0: to nothing). */
export const answerTo = (op: number, type: number): Answer => (TABLE[op]?.[type] ?? 0) as Answer;

/** What to do with an error for an entry of this kind. An error for an entry that the server never got answers nothing. */
export function verdictOfError(kind: number): Verdict {
  if (kind === Kind.forward) return Verdict.pass;
  if (kind === Kind.swallow) return Verdict.hide;
  return kind === Kind.mask ? Verdict.mask : Verdict.broken;
}

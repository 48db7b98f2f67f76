/**
 * The messages that the server has still to answer, one small integer each in a ring, and which server message answers
 * which of them.
 */
import { Backend, Frontend } from '../../wire/frames.ts';
import { GatewayError } from '../../contract/errors.ts';
import { RingQueue } from './ring-queue.ts';

/** The operation of a message that was sent; 0 is reserved for "none". */
export const Op = {
  query: 1,
  functionCall: 2,
  parse: 3,
  bind: 4,
  close: 5,
  describe: 6,
  execute: 7,
  sync: 8,
  /** CopyDone or CopyFail: gets no answer, and marks a position in the stream. */
  copyEnd: 9,
  /** DISCARD SEQUENCES of the gateway: no answer depends on it but those of `currval` and `lastval`. */
  discardSequences: 10,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

/** The treatment of the answer. */
export const ResponseAction = {
  forward: 0,
  /** A message of the gateway: its answer is hidden from the client. */
  skip: 16,
  /** Never sent to the server: its observer has the answer, which the client gets in order. */
  synthesize: 32,
  /** Sent so that the server refuses it in order: the gateway replaces the text of its error. */
  replaceError: 48,
} as const;
export type ResponseAction = (typeof ResponseAction)[keyof typeof ResponseAction];

const OP_BITS = 15;
const ACTION_BITS = 48;
/** Set in an entry that has an observer. */
const OBSERVED = 64;

/** The part of an entry with the operation. */
export const opOf = (entry: number): number => entry & OP_BITS;
/** Operations that belong to a batch: an error in one of them discards all up to the next Sync. */
export const isExtended = (op: number): boolean => op >= Op.parse && op <= Op.execute;
/** The part of an entry with the treatment of its answer. */
export const actionOf = (entry: number): number => entry & ACTION_BITS;
/** True for entries whose answers pass unchanged and unobserved: the fast path. */
export const isPlain = (entry: number): boolean => entry <= OP_BITS;

/** True for entries whose data rows are not inspected. */
export const streamsData = (entry: number): boolean =>
  isPlain(entry) && (entry === Op.query || entry === Op.execute);

/** Callbacks and facts of an entry besides its integer; most entries have none. */
export interface RequestObserver {
  /** Action `synthesize`: makes the answer when it is due; `status` is the status byte at that time. */
  readonly answer?: ((status: number) => Buffer) | undefined;
  /** Action `replaceError`: the error that the client reads instead. */
  readonly error?: GatewayError | undefined;
  /** Only an error with one of these SQLSTATEs is replaced by `error`. */
  readonly replaces?: readonly string[] | undefined;
  /** Action `skip`: an error is sent to the client all the same. */
  readonly showsError?: boolean | undefined;
  /** A Describe: `answered` gets the bodies of ParameterDescription and RowDescription. */
  readonly describes?: boolean | undefined;
  /** A Parse that prepares a statement under a name of the client. */
  readonly names?: true | undefined;
  /** The server, or the gateway, answered it without an error. */
  closed?(): void;
  /** The server discarded or refused it. */
  dropped?(): void;
  /** It is not known whether the server carries it out; default: as `dropped`. */
  lost?(): void;
  /** Gets each answer: its type byte, the length of the whole message, and its body where that was kept. */
  answered?(type: number, bytes: number, body: Buffer | undefined): void;
  /** Gets the length of each CopyData message of the client for it. */
  received?(bytes: number): void;
}

/** Reports to the observer that the outcome of its message is not known. */
export function outcomeUnknown(observer: RequestObserver | undefined): void {
  if (observer?.lost) observer.lost();
  else observer?.dropped?.();
}

/** By type byte of a client's message: its {@link Op}, 0 where it gets no entry. */
export const OP_OF: Uint8Array = (() => {
  const table = new Uint8Array(256);
  table[Frontend.query] = Op.query;
  table[Frontend.functionCall] = Op.functionCall;
  table[Frontend.parse] = Op.parse;
  table[Frontend.bind] = Op.bind;
  table[Frontend.close] = Op.close;
  table[Frontend.describe] = Op.describe;
  table[Frontend.execute] = Op.execute;
  table[Frontend.sync] = Op.sync;
  table[Frontend.copyDone] = Op.copyEnd;
  table[Frontend.copyFail] = Op.copyEnd;
  return table;
})();

/** Unanswered messages at once. Only Syncs within COPY and stray ends of COPY can be so many, and cost a byte each. */
const MOST_ENTRIES = 2 ** 24;
/** The gateway's own answers that are not due yet: nothing else limits them, as they never go to the server. */
const MOST_SYNTHESIZED = 10_000;

/** First in, first out; grows by doubling, never shrinks. */
export class RequestQueue {
  #ring = new Uint8Array(32);
  #first = 0;
  #next = 0;
  /** Of the entries that have one; made for the first. */
  #observers: RingQueue<RequestObserver> | undefined;
  #synthesized = 0;
  /** The position up to which the client has asked for answers. */
  #due = 0;

  get length(): number {
    return this.#next - this.#first;
  }

  /** The oldest entry, 0 if there is none. */
  get head(): number {
    return this.#first === this.#next ? 0 : this.at(0);
  }

  get headObserver(): RequestObserver | undefined {
    return (this.head & OBSERVED) === 0 ? undefined : this.#observers?.first;
  }

  /** The entry `index` places behind the oldest. */
  at(index: number): number {
    return this.#ring[(this.#first + index) & (this.#ring.length - 1)] ?? 0;
  }

  /** Calls `visit` for each entry, from the oldest on. */
  forEach(visit: (entry: number, observer: RequestObserver | undefined) => void): void {
    for (let i = 0, observed = 0; i < this.length; i += 1) {
      const entry = this.at(i);
      if ((entry & OBSERVED) === 0) visit(entry, undefined);
      else visit(entry, this.#observers?.at(observed++));
    }
  }

  /** Some are never sent to the server. */
  get hasSynthesized(): boolean {
    return this.#synthesized > 0;
  }

  /** True if one of the operations was sent to the server, not counting the oldest `from`; `ops` has the bit `1 << op` of each. */
  has(ops: number, from = 0): boolean {
    for (let i = from; i < this.length; i += 1) {
      const entry = this.at(i);
      if (actionOf(entry) !== ResponseAction.synthesize && ((ops >> opOf(entry)) & 1) === 1) return true;
    }
    return false;
  }

  /** The client waits for the answers to all its messages. */
  flush(): void {
    this.#due = this.#next;
  }
  /** The client waits for the answer to the oldest. */
  get due(): boolean {
    return this.#first < this.#due;
  }

  /** How many Syncs stand between the oldest entry and the entries behind them. */
  get syncsAhead(): number {
    let count = 0;
    while (opOf(this.at(1 + count)) === Op.sync && 1 + count < this.length) count += 1;
    return count;
  }

  /** @throws GatewayError `program_limit_exceeded` for too many at once */
  push(op: number, action: number, observer: RequestObserver | undefined): void {
    if (action === ResponseAction.synthesize) {
      if (this.#synthesized === MOST_SYNTHESIZED) throw tooMany();
      this.#synthesized += 1;
    }
    if (this.length === this.#ring.length) this.#grow();
    if (observer) (this.#observers ??= new RingQueue()).push(observer);
    this.#ring[this.#next & (this.#ring.length - 1)] = op | action | (observer ? OBSERVED : 0);
    this.#next += 1;
  }

  /** Removes the oldest entry and gives its observer. */
  shift(): RequestObserver | undefined {
    const entry = this.at(0);
    this.#first += 1;
    if ((entry & OBSERVED) === 0) return undefined;
    if (actionOf(entry) === ResponseAction.synthesize) this.#synthesized -= 1;
    return this.#observers?.shift();
  }

  /** Removes `count` entries right behind the oldest: Syncs that a COPY consumed. */
  removeBehindHead(count: number): void {
    if (count === 0) return;
    const head = this.at(0);
    const observer = (head & OBSERVED) === 0 ? undefined : this.#observers?.shift();
    for (let i = 1; i <= count; i += 1)
      if ((this.at(i) & OBSERVED) !== 0) this.#observers?.shift()?.dropped?.();
    this.#first += count;
    this.#ring[this.#first & (this.#ring.length - 1)] = head;
    if (observer) this.#observers?.unshift(observer);
  }

  #grow(): void {
    if (this.#ring.length === MOST_ENTRIES) throw tooMany();
    const larger = new Uint8Array(this.#ring.length * 2);
    for (let i = this.#first; i < this.#next; i += 1) {
      larger[i & (larger.length - 1)] = this.#ring[i & (this.#ring.length - 1)] ?? 0;
    }
    this.#ring = larger;
  }
}

function tooMany(): GatewayError {
  return new GatewayError('program_limit_exceeded', 'too many messages wait for their answers');
}

/** Both observers in one; `one` is called first, so that the latest change is undone first, and its facts count before the other's. */
export function combined(one: RequestObserver, other: RequestObserver | undefined): RequestObserver;
export function combined(
  one: RequestObserver | undefined,
  other: RequestObserver | undefined,
): RequestObserver | undefined;
export function combined(
  one: RequestObserver | undefined,
  other: RequestObserver | undefined,
): RequestObserver | undefined {
  return one && other ? new Combined(one, other) : (one ?? other);
}

class Combined implements RequestObserver {
  readonly answer: RequestObserver['answer'];
  readonly error: RequestObserver['error'];
  readonly replaces: RequestObserver['replaces'];
  readonly showsError: RequestObserver['showsError'];
  readonly describes: RequestObserver['describes'];
  readonly names: RequestObserver['names'];
  readonly #one: RequestObserver;
  readonly #other: RequestObserver;

  constructor(one: RequestObserver, other: RequestObserver) {
    this.answer = one.answer ?? other.answer;
    this.error = one.error ?? other.error;
    this.replaces = one.replaces ?? other.replaces;
    this.showsError = one.showsError ?? other.showsError;
    this.describes = one.describes ?? other.describes;
    this.names = one.names ?? other.names;
    this.#one = one;
    this.#other = other;
  }

  closed(): void {
    this.#one.closed?.();
    this.#other.closed?.();
  }
  dropped(): void {
    this.#one.dropped?.();
    this.#other.dropped?.();
  }
  lost(): void {
    outcomeUnknown(this.#one);
    outcomeUnknown(this.#other);
  }
  answered(type: number, bytes: number, body: Buffer | undefined): void {
    this.#one.answered?.(type, bytes, body);
    this.#other.answered?.(type, bytes, body);
  }
  received(bytes: number): void {
    this.#one.received?.(bytes);
    this.#other.received?.(bytes);
  }
}

/** The four ways to treat an answer. */
export const Disposition = {
  forward: 0,
  /** It answers a message of the gateway. */
  hide: 1,
  /** An error whose text the gateway replaces: the entry's observer has the text. */
  replaceError: 2,
  /** It answers no request: the connection cannot be used any more. */
  unexpected: 3,
} as const;
export type Disposition = (typeof Disposition)[keyof typeof Disposition];

// Which message of the server answers which of the client (manual, 55.2.2 and 55.2.3).

/** Messages that answer no request and may arrive at any time. */
export const ASYNCHRONOUS = new Set<number>([
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

const CHANGES = (1 << Op.query) | (1 << Op.functionCall) | (1 << Op.sync) | (1 << Op.execute);
const ENDS_READY = (1 << Op.query) | (1 << Op.functionCall) | (1 << Op.sync) | (1 << Op.discardSequences);

/** Sets of operations, with the bit `1 << op` of each. */
export const Ops = {
  /** ReadyForQuery comes without another word of the client. */
  endReady: ENDS_READY,
  /** They may set parameters, end or break a transaction, or begin a COPY. */
  change: CHANGES,
  /** A Bind may set parameters too: types and functions of users run in it, such as the check of a domain. */
  set: CHANGES | (1 << Op.bind),
  /** A probe would not show their end: a COPY may have begun, or the client's own Close has its answer. */
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
  [Op.discardSequences, [Backend.commandComplete]],
];

const LASTS: readonly (readonly [op: number, types: readonly number[]])[] = [
  [Op.query, [Backend.readyForQuery]],
  [Op.functionCall, [Backend.readyForQuery]],
  [Op.sync, [Backend.readyForQuery]],
  [Op.discardSequences, [Backend.readyForQuery]],
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

/** The meaning of a server message of `type` for a client message with operation `op` (0: for none). */
export const answerTo = (op: number, type: number): Answer => (TABLE[op]?.[type] ?? 0) as Answer;

/** The treatment of an error for an entry with this action. An error for an entry that the server never got answers nothing. */
export function dispositionOfError(action: number): Disposition {
  if (action === ResponseAction.forward) return Disposition.forward;
  if (action === ResponseAction.skip) return Disposition.hide;
  return action === ResponseAction.replaceError ? Disposition.replaceError : Disposition.unexpected;
}

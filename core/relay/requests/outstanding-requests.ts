/**
 * The requests that the server has not answered yet. Every other fact is derived from them: whether the session is idle,
 * where an answer of the gateway belongs, which requests an error discards. The rules, each tried against a server, are
 * in `rules.md` of the folder above.
 */
import { Backend } from '../../wire/frames.ts';
import {
  ASYNCHRONOUS,
  Answer,
  Disposition,
  Op,
  Ops,
  RequestQueue,
  ResponseAction,
  actionOf,
  answerTo,
  dispositionOfError,
  isExtended,
  opOf,
} from './request-queue.ts';
import type { RequestObserver } from './request-queue.ts';
import { Status } from '../transaction-boundary.ts';
import type { Unfinished } from '../transaction-boundary.ts';
import { CopyFailureRecovery, MOST_DEPTH } from './copy-failure-recovery.ts';
import type { ErrorDisposition, Possibility } from './copy-failure-recovery.ts';

/** Counts the messages of one session; the caller adds sessions up. One per session. */
export class SessionCounters {
  /** ReadyForQuery messages that the client got. */
  queries = 0;
  /** Those of them without an open transaction. */
  transactions = 0;
  /** Parse messages of the client. */
  clientParses = 0;
  /** Parse messages that went to the server, those of the gateway's own included. */
  serverParses = 0;
  /** Bind messages of the client. */
  binds = 0;

  /** A message was sent to the server, or will be answered by the gateway. */
  sent(op: number, action: number): void {
    if (op === Op.bind) this.binds += 1;
    if (op !== Op.parse) return;
    if (action !== ResponseAction.skip) this.clientParses += 1;
    if (action !== ResponseAction.synthesize) this.serverParses += 1;
  }

  /** A ReadyForQuery passed to the client; `idle`: no transaction is open. */
  ready(idle: boolean): void {
    this.queries += 1;
    if (idle) this.transactions += 1;
  }
}

/** The batch of extended messages that is being sent, up to its Sync. One per session. */
export class ExtendedBatch {
  #begun = false;
  #unsafe = false;
  #syncs = 0;

  /**
   * A Query or FunctionCall was sent into a batch without its Sync: PostgreSQL 18.4 then says idle although a transaction
   * is begun, and its next statement fails with XX000. The client caused it; no other session may get that connection.
   */
  get unsafe(): boolean {
    return this.#unsafe;
  }

  /** A message has been sent since the last Sync that only a Sync ends. */
  get begun(): boolean {
    return this.#begun;
  }

  /** How many batches have been sent to their end: equal for messages that an error in front of them drops together. */
  get syncs(): number {
    return this.#syncs;
  }

  /** A message went to the server. */
  sent(op: number): void {
    if (op === Op.sync) {
      this.#begun = false;
      this.#syncs += 1;
    } else if (isExtended(op)) this.#begun = true;
    else if (this.#begun && op !== Op.copyEnd) this.#unsafe = true;
  }

  /** The Sync that seemed to end the batch was read by a COPY. */
  begin(): void {
    this.#begun = true;
  }

  /** A Query or FunctionCall was sent into the batch, as it turns out only now. */
  taint(): void {
    this.#unsafe = true;
  }

  /** The session has another server connection, to which nothing has been sent. */
  reset(): void {
    this.#begun = this.#unsafe = false;
  }
}

/**
 * The requests that the server has not answered yet. Everything else is derived from them: whether the session is idle,
 * where an answer of the gateway belongs, which requests an error discards. The rules, each tried against a server, are
 * in `rules.md` of the folder above. One per session, and one per possibility after a failed COPY; no sockets, no buffers.
 */
export class OutstandingRequests implements Possibility {
  #queue = new RequestQueue();
  /** The batch that is being sent; whether it has made the connection unsafe. */
  readonly batch = new ExtendedBatch();
  readonly #counters: SessionCounters;
  #status: number;
  #skipping: boolean;
  #unsynced = false;
  #copyIn = false;
  #fatal = false;
  #outOfSync = false;
  #recovery: CopyFailureRecovery<OutstandingRequests> | undefined;
  #answerLost = false;
  /** It stands for a possibility within so many others. */
  readonly #depth: number;

  /** `counters` counts messages. Default: counters that is never read. */
  constructor(
    counters: SessionCounters = new SessionCounters(),
    depth = 0,
    status: number = Status.idle,
    skipping = false,
  ) {
    this.#counters = counters;
    this.#depth = depth;
    this.#status = status;
    this.#skipping = skipping;
  }

  /** The newest status byte of ReadyForQuery: the only truth about the transaction. */
  get status(): number {
    return this.#status;
  }
  /** The oldest unanswered entry, 0 if none. */
  get head(): number {
    return this.#queue.head;
  }
  get headObserver(): RequestObserver | undefined {
    return this.#queue.headObserver;
  }
  /** A FATAL error passed: the server sends no more messages. */
  get fatal(): boolean {
    return this.#fatal;
  }
  /** The server answered out of order once: no other session may use this connection. */
  get outOfSync(): boolean {
    return this.#outOfSync;
  }
  /** An answer of the gateway stood inside a COPY, or behind one that failed uncertainly: it is not known whether it is due. */
  get answerLost(): boolean {
    return this.#answerLost || this.#recovery?.lost === true;
  }
  /** The session has another server connection, whose answers are in order. */
  changed(): void {
    this.batch.reset();
    this.#outOfSync = false;
  }
  get skipping(): boolean {
    return this.#skipping;
  }
  /** The possibilities after a failed COPY; while there are any, the request queue has no entries of its own. */
  get recovery(): CopyFailureRecovery<OutstandingRequests> | undefined {
    return this.#recovery;
  }
  /** Why the server is not at rest; undefined if it is. */
  get unfinished(): Unfinished | undefined {
    if (this.#recovery) return 'uncertain';
    if (this.#queue.length > 0) return 'answers';
    if (this.#copyIn) return 'copy';
    if (this.#skipping) return 'skipping';
    return this.#unsynced ? 'unsynced' : undefined;
  }
  /** No answer is outstanding, though a Sync may be missing. */
  get answered(): boolean {
    return this.#queue.length === 0 && this.#recovery === undefined;
  }
  /** No answer is outstanding but that to the newest request. */
  get newestOnly(): boolean {
    return this.#queue.length <= 1 && this.#recovery === undefined;
  }
  /** ReadyForQuery will come by itself. Answers to extended messages alone may stay in the server's buffer forever. */
  get endsReady(): boolean {
    if (this.#recovery) return this.#recovery.resolves;
    const eaten = this.#copyIn && isExtended(opOf(this.#queue.head)) ? 1 + this.#queue.syncsAhead : 0;
    return !this.stuck && this.#queue.has(Ops.endReady, eaten);
  }
  /** The outstanding answers will not come by themselves: COPY needs data, replication goes on, or the order of answers is lost. */
  get stuck(): boolean {
    if (this.#recovery) return !this.#recovery.resolves;
    return this.#outOfSync || (this.#copyIn && !this.#queue.has(1 << Op.copyEnd));
  }
  /** See {@link Possibility.takesProbe}. */
  get takesProbe(): boolean {
    if (this.#recovery) return this.#recovery.takesProbe;
    return !this.#copyIn && !this.#skipping && !this.#queue.has(Ops.hideProbe);
  }
  /** An outstanding request may change run-time parameters, the transaction's state, or begin a COPY. */
  get changing(): boolean {
    return this.#recovery !== undefined || this.#queue.has(Ops.change);
  }
  /** Run-time parameters cannot have changed since the last ReadyForQuery. */
  get settingsKnown(): boolean {
    return !this.#unsynced && !this.#recovery && !this.#queue.has(Ops.set);
  }
  /** The next answer comes from the gateway, at the latest in front of the server's next message: call {@link takeSynthesized}. */
  get synthesizedReady(): boolean {
    return this.#queue.hasSynthesized && actionOf(this.#queue.head) === ResponseAction.synthesize;
  }
  /** The same, and the client waits for it: PostgreSQL keeps its answers in a buffer until then. */
  get synthesizedDue(): boolean {
    return this.synthesizedReady && this.#queue.due;
  }
  /** The client sent Flush, or the gateway refused a message: answers are due at once. */
  flush(): void {
    this.#queue.flush();
  }

  /** A message of the client or the gateway was sent to the server; with action `synthesize`, the gateway will answer it. */
  sent(op: number, action: number = ResponseAction.forward, observer?: RequestObserver): void {
    this.#counters.sent(op, action);
    if (this.#skipping && op !== Op.sync) return observer?.dropped?.();
    this.#skipping = false;
    // With nothing in front of it a mark has no meaning.
    if (op === Op.copyEnd && this.answered) return;
    if (action !== ResponseAction.synthesize) this.batch.sent(op);
    if (this.#recovery) return this.#recovery.sent(op, action, observer);
    this.#queue.push(op, action, observer);
    if (((Ops.endReady >> op) & 1) === 1) this.#queue.flush();
  }

  /** Takes the answer of the oldest entry, which is local. */
  takeSynthesized(): Buffer {
    const observer = this.#queue.shift();
    observer?.closed?.();
    this.#dropMarkers();
    return observer?.answer?.(this.#status) ?? Buffer.alloc(0);
  }

  /** A message of the server other than ErrorResponse. `status` is ReadyForQuery's byte. */
  reply(type: number, status = 0): Disposition {
    const skipped = actionOf(this.#queue.head) === ResponseAction.skip;
    if (ASYNCHRONOUS.has(type))
      return skipped && type !== Backend.notificationResponse ? Disposition.hide : Disposition.forward;
    const ready = type === Backend.readyForQuery;
    if (ready) this.#status = status;
    if (this.#recovery) {
      const disposition = this.#recovery.reply(type, status);
      if (ready && disposition === Disposition.forward) this.#counters.ready(status === Status.idle);
      return disposition;
    }
    if (ready && !skipped) this.#counters.ready(status === Status.idle);
    const entry = this.#queue.head;
    const action = actionOf(entry);
    const answer = answerTo(opOf(entry), type);
    // A message that the server has to refuse cannot succeed.
    const succeeds = action === ResponseAction.replaceError && !ready;
    if (answer === Answer.none || succeeds) return Disposition.unexpected;
    if (type === Backend.copyInResponse || type === Backend.copyBothResponse) this.#copyIn = true;
    else if (type === Backend.commandComplete && this.#copyIn) this.#copySucceeded();
    if (answer === Answer.last) this.#close(type);
    return skipped ? Disposition.hide : Disposition.forward;
  }

  /** An ErrorResponse. For disposition `replaceError` the observer's error replaces it. */
  error(fatal: boolean): ErrorDisposition {
    if (fatal) {
      this.#fatal = true;
      return { disposition: Disposition.forward };
    }
    for (let last; this.#recovery && this.#recovery !== last;) (last = this.#recovery).excludeFaultless();
    if (this.#recovery) return this.#recovery.error();
    const entry = this.#queue.head;
    if (entry === 0) return { disposition: this.#unsolicitedError() };
    const observer = this.#queue.headObserver;
    const disposition = observer?.showsError ? Disposition.forward : dispositionOfError(actionOf(entry));
    const eaten = this.#copyIn ? this.#queue.syncsAhead : 0;
    // Whether the COPY has read the Syncs behind such an answer cannot be told.
    const isHidden = this.#copyIn && actionOf(this.#queue.at(1 + eaten)) === ResponseAction.synthesize;
    this.#answerLost ||= isHidden && this.#queue.length > 1 + eaten;
    this.#copyIn = false;
    if (eaten > 0) this.#startRecovery();
    else if (isExtended(opOf(entry))) this.#dropToSync();
    return { disposition, observer };
  }

  #close(type: number): void {
    // Else a Sync is still missing: `P(insert) B E H` leaves an empty queue, the last status I, and an open transaction.
    this.#unsynced = type !== Backend.readyForQuery;
    if (type === Backend.readyForQuery) this.#copyIn = false;
    this.#queue.shift()?.closed?.();
    this.#dropMarkers();
  }

  #dropMarkers(): void {
    while (opOf(this.#queue.head) === Op.copyEnd) this.#queue.shift();
  }

  // ---- errors ----

  #unsolicitedError(): Disposition {
    if (!this.#unsynced) return Disposition.unexpected;
    this.#outOfSync = true;
    this.#skipping = true;
    return Disposition.forward;
  }

  /** After an error in the extended protocol the server discards everything up to the next Sync, a Query included. */
  #dropToSync(): void {
    const observers: RequestObserver[] = [];
    while (this.#queue.length > 0 && opOf(this.#queue.head) !== Op.sync) {
      const observer = this.#queue.shift();
      if (observer) observers.push(observer);
    }
    this.#skipping = this.#queue.length === 0;
    // Each takes back its changes on top of those before it.
    for (const observer of observers.toReversed()) observer.dropped?.();
  }

  // ---- COPY FROM STDIN: the server ignores Sync and Flush until the client's CopyDone or CopyFail ----

  #copySucceeded(): void {
    this.#copyIn = false;
    const end = 1 + this.#queue.syncsAhead;
    const seen = end < this.#queue.length && opOf(this.#queue.at(end)) === Op.copyEnd;
    if (seen) this.#queue.removeBehindHead(end);
    else this.#answerLost = true;
    if (end > 1 && isExtended(opOf(this.#queue.head))) this.#continueBatch();
  }

  /** The COPY has read the Syncs of its batch, which goes on. */
  #continueBatch(): void {
    for (let i = 1; i < this.#queue.length; i += 1) {
      const entry = this.#queue.at(i);
      if (opOf(entry) === Op.sync) return;
      if (actionOf(entry) !== ResponseAction.synthesize && !isExtended(opOf(entry)))
        return this.batch.taint();
    }
    this.batch.begin();
  }

  #startRecovery(): void {
    if (this.#depth === MOST_DEPTH) return void (this.#answerLost = true);
    const queue = this.#queue;
    this.#queue = new RequestQueue();
    const suppose = (status: number, skips: boolean): OutstandingRequests =>
      new OutstandingRequests(undefined, this.#depth + 1, status, skips);
    const decided = (truth: OutstandingRequests): void => this.#adopt(truth);
    this.#recovery = new CopyFailureRecovery(queue, suppose, decided, this.#depth === 0);
  }

  #adopt(truth: OutstandingRequests): void {
    this.#recovery = truth.#recovery;
    this.#recovery?.tell((truest) => this.#adopt(truest), this.#depth === 0);
    if (truth.batch.unsafe) this.batch.taint();
    this.#queue = truth.#queue;
    this.#skipping = truth.#skipping;
    this.#unsynced = truth.#unsynced;
    this.#copyIn = truth.#copyIn;
    this.#outOfSync ||= truth.#outOfSync;
    this.#answerLost ||= truth.#answerLost;
  }
}

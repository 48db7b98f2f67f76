/**
 * A COPY FROM STDIN failed with Syncs in flight before its end. Whether it consumed them (a bad row comes after them) or
 * the server answers them (a view fails before anything is read) does not show in the bytes: of k such Syncs, 0 to k are
 * answered. Each number is a possibility. The next messages of the server exclude the possibilities that they do not
 * fit; the last one left is true. Where no outstanding request would decide, a probe does.
 */
import { randomBytes } from 'node:crypto';
import { Backend } from '../../wire/frames.ts';
import { SYNC, encodeClose } from '../../wire/to-server.ts';
import {
  Disposition,
  Op,
  Ops,
  ResponseAction,
  actionOf,
  isExtended,
  opOf,
  outcomeUnknown,
} from './request-queue.ts';
import type { RequestObserver, RequestQueue } from './request-queue.ts';

/** Most calls that are held; beyond them only errors are, because observers may count fewer rows but must not miss an error. */
const MOST_CALLS = 1_000;

/** One per possibility. */
class DeferredObservers {
  #calls: (() => void)[] | undefined = [];

  /** No call is held. */
  get none(): boolean {
    return !this.#calls?.length;
  }

  /** The same observer for an entry of the possibility. */
  of(observer: RequestObserver): RequestObserver {
    const { answer, error, replaces, showsError, names } = observer;
    const deferred: RequestObserver = {
      answer,
      error,
      replaces,
      showsError,
      names,
      received: (bytes) => observer.received?.(bytes),
      closed: () => this.#call(() => observer.closed?.()),
      dropped: () => this.#call(() => observer.dropped?.()),
      lost: () => this.#call(() => outcomeUnknown(observer)),
    };
    if (!observer.answered) return deferred;
    return { ...deferred, answered: (type, bytes, body) => this.#answered(observer, type, bytes, body) };
  }

  /** The possibility is true: makes the held calls, and all further ones at once. */
  release(): void {
    const calls = this.#calls ?? [];
    this.#calls = undefined;
    for (const call of calls) call();
  }

  #answered(observer: RequestObserver, type: number, bytes: number, body: Buffer | undefined): void {
    if (!this.#calls) return observer.answered?.(type, bytes, body);
    if (this.#calls.length >= MOST_CALLS && type !== Backend.errorResponse) return;
    // The bytes are part of the buffer that the next socket reads into.
    const kept = body && Buffer.from(body);
    this.#calls.push(() => observer.answered?.(type, bytes, kept));
  }

  #call(call: () => void): void {
    if (this.#calls) this.#calls.push(call);
    else call();
  }
}

/** The meaning of a server's error for the client. */
export interface ErrorDisposition {
  readonly disposition: Disposition;
  readonly observer?: RequestObserver | undefined;
}

/** The outstanding requests if a certain number of Syncs is answered. */
export interface Possibility {
  readonly head: number;
  readonly headObserver: RequestObserver | undefined;
  /** Another COPY has failed in it, and there are possibilities of its own. */
  readonly recovery: Pick<CopyFailureRecovery<Possibility>, 'answered' | 'lost' | 'count'> | undefined;
  /** No request is outstanding. */
  readonly answered: boolean;
  /** ReadyForQuery will come by itself. */
  readonly endsReady: boolean;
  /** A Close and a Sync of the gateway would be answered, and no other message with a CloseComplete. */
  readonly takesProbe: boolean;
  readonly answerLost: boolean;
  sent(op: number, action: number, observer?: RequestObserver): void;
  reply(type: number, status: number): Disposition;
  error(fatal: boolean): ErrorDisposition;
}

/** Makes a possibility without outstanding requests; `skips`: the server discards everything up to a Sync. */
type Suppose<P extends Possibility> = (status: number, skips: boolean) => P;

/** Possibilities at once: more are only left where a client sends dozens of Syncs behind dozens of Syncs within a COPY. */
const MOST_ALIVE = 32;

/** Observed requests behind the COPY: their observers are kept until it is certain which of them are answered. */
const MOST_OBSERVED = 10_000;

/** A COPY that fails in a possibility within so many others ends the session. */
export const MOST_DEPTH = 3;

interface Branch<P extends Possibility> {
  readonly outstanding: P;
  readonly observers: DeferredObservers;
  /** Of the answers to the oldest request, a Query or FunctionCall, some have come: its ReadyForQuery never comes alone. */
  partlyAnswered: boolean;
}

/** From the error of the COPY until one possibility is left, or the session ends. */
export class CopyFailureRecovery<P extends Possibility> {
  readonly #suppose: Suppose<P>;
  #decided: (truth: P) => void;
  /** Requests behind the Syncs, and further ones while there may be more possibilities. */
  readonly #behind: RequestQueue;
  #alive: Branch<P>[];
  /** So many of the Syncs may still be answered in front of everything behind them. */
  #more: number;
  /** The COPY's own ReadyForQuery comes first: it was a Query. */
  #ownReady: boolean;
  /** The client's last message is a Sync, so that another Sync changes nothing. True at first if the COPY was a Query. */
  #synced: boolean;
  /** Nothing but ReadyForQuery has come since: all answers were to Syncs with nothing in front that could fail. */
  #onlyReady = true;
  #probing = false;
  /** The probe was a Sync alone: the server's next message, whichever it is, excludes possibilities. */
  #syncOnly = false;
  #lost = false;
  #observed = 0;

  /** Only the outermost one is asked for probes. */
  #outermost: boolean;

  /**
   * `requests` are the COPY and the messages behind it; they are taken over. `decided` is called once, with the possibility that was true.
   * `outermost`: not within a possibility.
   */
  constructor(requests: RequestQueue, suppose: Suppose<P>, decided: (truth: P) => void, outermost: boolean) {
    const op = opOf(requests.head);
    this.#more = requests.syncsAhead;
    this.#ownReady = op === Op.query;
    this.#synced = this.#ownReady;
    this.#suppose = suppose;
    this.#decided = decided;
    this.#outermost = outermost;
    const observer = requests.shift();
    if (this.#ownReady) observer?.closed?.();
    else observer?.dropped?.();
    for (let i = 0; i < this.#more; i += 1) outcomeUnknown(requests.shift());
    this.#behind = requests;
    const first = this.#begin(0, !this.#ownReady, this.#ownReady);
    this.#alive = [first];
    for (let i = 0; i < requests.length; i += 1) this.#follows(opOf(requests.at(i)));
    this.#lost = requests.hasSynthesized;
  }

  /** An answer of the gateway cannot be placed any more, or there are too many possibilities. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Possibilities, those within others included. */
  get count(): number {
    return this.#alive.reduce((sum, { outstanding }) => sum + (outstanding.recovery?.count ?? 1), 0);
  }

  /** Another request queue has taken this over, and is told the truth. */
  tell(decided: (truth: P) => void, outermost: boolean): void {
    this.#decided = decided;
    this.#outermost = outermost;
  }

  /** True when a probe would decide between the possibilities: send {@link probe}. */
  get wantsProbe(): boolean {
    return !this.#probing && this.#synced && (this.takesProbe || this.#syncDecides());
  }

  /** See {@link Possibility.takesProbe}. */
  get takesProbe(): boolean {
    // If one more of the Syncs is answered, all requests behind them are outstanding.
    const clear = this.#more === 0 || !this.#behind.has(Ops.hideProbe);
    return clear && this.#alive.every(({ outstanding }) => outstanding.takesProbe);
  }

  /**
   * True where a Sync alone decides, although the longer probe may not be sent: it is answered next where nothing is outstanding, and
   * an answer of another type comes soon where something is. Not where that may run for long: no CancelRequest passes meanwhile.
   */
  #syncDecides(): boolean {
    if (!this.#outermost || this.#more > 0) return false;
    if (!this.#alive.some(({ outstanding }) => outstanding.answered)) return false;
    return this.#alive.every(
      ({ outstanding: { answered, recovery, endsReady, head } }) =>
        answered || (!recovery && endsReady && isAnsweredSoon(head)),
    );
  }

  get probing(): boolean {
    return this.#probing;
  }

  /** The server will send more messages without another one of the client. */
  get resolves(): boolean {
    return this.#probing || this.wantsProbe || this.#alive.every(({ outstanding }) => outstanding.endsReady);
  }

  /** The probe to send now: it closes a name that no statement has, and its answer shows where the client's answers end. Or a Sync. */
  probe(): Buffer {
    this.#syncOnly = !this.takesProbe;
    this.#probing = true;
    if (this.#syncOnly) {
      this.sent(Op.sync, ResponseAction.skip);
      return SYNC;
    }
    this.sent(Op.close, ResponseAction.skip);
    this.sent(Op.sync, ResponseAction.skip);
    return Buffer.concat([encodeClose('S', `postern_${randomBytes(16).toString('hex')}`), SYNC]);
  }

  /** The next message: the client's, or the gateway's. */
  sent(op: number, action: number, observer?: RequestObserver): void {
    this.#follows(op);
    if (observer && (this.#observed += 1) > MOST_OBSERVED) this.#lost = true;
    if (this.#lost) return outcomeUnknown(observer);
    if (this.#more > 0) this.#behind.push(op, action, observer);
    for (const { outstanding, observers } of this.#alive)
      outstanding.sent(op, action, observer && observers.of(observer));
  }

  /** The server has answered: in each possibility the observer of the oldest request gets the answer. */
  answered(type: number, bytes: number, body: Buffer | undefined): void {
    for (const { outstanding } of this.#alive)
      (outstanding.recovery ?? outstanding.headObserver)?.answered?.(type, bytes, body);
  }

  /** A message of the server other than an error. */
  reply(type: number, status: number): Disposition {
    this.#syncAnswered();
    const ready = type === Backend.readyForQuery;
    const dispositions = this.#exclude((branch) => {
      const whole = isWhole(branch.outstanding.head);
      if (whole && ready && !branch.partlyAnswered) return Disposition.unexpected;
      branch.partlyAnswered = whole && !ready;
      return branch.outstanding.reply(type, status);
    });
    this.#onlyReady &&= ready;
    if (!ready) this.#more = 0;
    else if (this.#ownReady) this.#ownReady = false;
    else if (this.#more > 0) {
      this.#more -= 1;
      dispositions.add(Disposition.forward);
      this.#alive.push(this.#begin(status, false, false));
    }
    if (this.#more === 0 && this.#alive.every(({ outstanding }) => outstanding.answered)) this.#unite();
    this.#lost ||= this.count > MOST_ALIVE;
    if (this.#lost) this.#more = 0;
    return this.#agreed(dispositions);
  }

  /** An error that is not FATAL has come: it excludes possibilities without an outstanding request that can fail. */
  excludeFaultless(): void {
    this.#syncAnswered();
    this.#more = 0;
    const faulty = this.#alive.filter(({ outstanding: { answered, head } }) =>
      this.#onlyReady ? head !== 0 && opOf(head) !== Op.sync : !answered,
    );
    this.#onlyReady = false;
    if (faulty.length > 0) this.#alive = faulty;
    this.#decide();
  }

  /** The meaning of that error for the client, where more than one possibility is left. */
  error(): ErrorDisposition {
    const means: ErrorDisposition[] = [];
    const dispositions = this.#exclude((branch) => {
      branch.partlyAnswered = isWhole(branch.outstanding.head);
      const meaning = branch.outstanding.error(false);
      if (meaning.disposition !== Disposition.unexpected) means.push(meaning);
      return meaning.disposition;
    });
    const [first] = means;
    const same = means.every(({ observer }) => observer?.error === first?.observer?.error);
    this.#lost ||= !same || this.#alive.some(({ outstanding }) => outstanding.answerLost);
    return { disposition: this.#agreed(dispositions), observer: first?.observer };
  }

  /** Nothing is outstanding in any possibility: all are the same from here on, unless observers would be told different things. */
  #unite(): void {
    if (this.#alive.every(({ observers }) => observers.none))
      this.#alive.length = Math.min(1, this.#alive.length);
    this.#lost ||= this.#probing && this.#alive.length > 1;
  }

  #syncAnswered(): void {
    if (this.#syncOnly) this.#probing = this.#syncOnly = false;
  }

  #follows(op: number): void {
    this.#synced = op === Op.sync || (this.#synced && op === Op.copyEnd);
  }

  /** A possibility in which the requests behind the Syncs are outstanding now; `own`: behind the COPY's ReadyForQuery. */
  #begin(status: number, skips: boolean, own: boolean): Branch<P> {
    const outstanding = this.#suppose(status, skips);
    const branch = { outstanding, observers: new DeferredObservers(), partlyAnswered: false };
    // Only ReadyForQuery is left of the answers to the COPY's Query, as to a Sync.
    if (own) branch.outstanding.sent(Op.sync, ResponseAction.forward);
    this.#behind.forEach((entry, observer) => {
      branch.outstanding.sent(opOf(entry), actionOf(entry), observer && branch.observers.of(observer));
    });
    return branch;
  }

  #exclude(dispositionOf: (branch: Branch<P>) => Disposition): Set<Disposition> {
    const dispositions = new Set<Disposition>();
    this.#alive = this.#alive.filter((branch) => {
      const disposition = dispositionOf(branch);
      if (disposition !== Disposition.unexpected) dispositions.add(disposition);
      return disposition !== Disposition.unexpected;
    });
    return dispositions;
  }

  /** The disposition of all possibilities. */
  #agreed(dispositions: ReadonlySet<Disposition>): Disposition {
    const [disposition = Disposition.unexpected] = dispositions;
    this.#lost ||= dispositions.size > 1 || this.#alive.some(({ outstanding }) => outstanding.recovery?.lost);
    this.#decide();
    return disposition;
  }

  /** The last possibility is true: its requests are the outstanding ones. */
  #decide(): void {
    const [first, second] = this.#alive;
    if (!first || second || this.#more > 0 || this.#lost) return;
    this.#decided(first.outstanding);
    first.observers.release();
  }
}

/** True for an entry that the server answers at once, and not by ReadyForQuery. */
const isAnsweredSoon = (entry: number): boolean =>
  isExtended(opOf(entry)) && opOf(entry) !== Op.execute && actionOf(entry) !== ResponseAction.synthesize;

/** True for an entry of a Query or FunctionCall: its answers end with a ReadyForQuery. */
const isWhole = (entry: number): boolean => opOf(entry) === Op.query || opOf(entry) === Op.functionCall;

/**
 * The requests that the server has not answered yet. Everything else is derived from them: whether the session is idle, where an
 * answer of the gateway belongs, which requests an error discards. The rules, each tried against a server, are in README.md
 * beside this file.
 */
import { Backend } from '../wire/frames.ts';
import { ASIDE, Answer, Ops, answerTo, verdictOfError } from './answers.ts';
import { Batch } from './batch.ts';
import { Entries, Kind, Op, isExtended, kindOf, opOf } from './entries.ts';
import type { Note } from './entries.ts';
import { Tally } from './tally.ts';
import { Status } from './transaction-boundary.ts';
import type { Unfinished } from './transaction-boundary.ts';
import { MOST_DEPTH, Uncertainty } from './uncertainty.ts';
import type { ErrorVerdict, Possibility } from './uncertainty.ts';
import { Verdict } from './verdict.ts';

/** One per session, and one per possibility after a failed COPY; no sockets, no buffers. */
export class Ledger implements Possibility {
  #entries = new Entries();
  /** The batch that is being sent; whether it has made the connection unsafe. */
  readonly batch = new Batch();
  readonly #tally: Tally;
  #status: number;
  #skipping: boolean;
  #unsynced = false;
  #copyIn = false;
  #fatal = false;
  #spoilt = false;
  #uncertain: Uncertainty<Ledger> | undefined;
  #answerLost = false;
  /** It stands for a possibility within so many others. */
  readonly #depth: number;

  /** `tally` counts messages. Default: a tally that is never read. */
  constructor(tally: Tally = new Tally(), depth = 0, status: number = Status.idle, skipping = false) {
    this.#tally = tally;
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
    return this.#entries.head;
  }
  get headNote(): Note | undefined {
    return this.#entries.headNote;
  }
  /** A FATAL error passed: the server sends no more messages. */
  get fatal(): boolean {
    return this.#fatal;
  }
  /** The server answered out of order once: no other session may use this connection. */
  get spoilt(): boolean {
    return this.#spoilt;
  }
  /** An answer of the gateway stood inside a COPY, or behind one that failed uncertainly: it is not known whether it is due. */
  get answerLost(): boolean {
    return this.#answerLost || this.#uncertain?.lost === true;
  }
  /** The session has another server connection, whose answers are in order. */
  changed(): void {
    this.batch.reset();
    this.#spoilt = false;
  }
  get skipping(): boolean {
    return this.#skipping;
  }
  /** The possibilities after a failed COPY; while there are any, the ledger has no entries of its own. */
  get uncertain(): Uncertainty<Ledger> | undefined {
    return this.#uncertain;
  }
  /** Why the server is not at rest; undefined if it is. */
  get unfinished(): Unfinished | undefined {
    if (this.#uncertain) return 'uncertain';
    if (this.#entries.length > 0) return 'answers';
    if (this.#copyIn) return 'copy';
    if (this.#skipping) return 'skipping';
    return this.#unsynced ? 'unsynced' : undefined;
  }
  /** No answer is outstanding, though a Sync may be missing. */
  get answered(): boolean {
    return this.#entries.length === 0 && this.#uncertain === undefined;
  }
  /** ReadyForQuery will come by itself. Answers to extended messages alone may stay in the server's buffer forever. */
  get endsReady(): boolean {
    if (this.#uncertain) return this.#uncertain.resolves;
    const eaten = this.#copyIn && isExtended(opOf(this.#entries.head)) ? 1 + this.#entries.syncsAhead : 0;
    return !this.stuck && this.#entries.has(Ops.endReady, eaten);
  }
  /** The outstanding answers will not come by themselves: COPY needs data, replication goes on, or the order of answers is lost. */
  get stuck(): boolean {
    if (this.#uncertain) return !this.#uncertain.resolves;
    return this.#spoilt || (this.#copyIn && !this.#entries.has(1 << Op.copyEnd));
  }
  /** See {@link Possibility.takesProbe}. */
  get takesProbe(): boolean {
    if (this.#uncertain) return this.#uncertain.takesProbe;
    return !this.#copyIn && !this.#skipping && !this.#entries.has(Ops.hideProbe);
  }
  /** An outstanding request may change run-time parameters, the transaction's state, or begin a COPY. */
  get changing(): boolean {
    return this.#uncertain !== undefined || this.#entries.has(Ops.change);
  }
  /** Run-time parameters cannot have changed since the last ReadyForQuery. */
  get settingsKnown(): boolean {
    return !this.#unsynced && !this.#uncertain && !this.#entries.has(Ops.set);
  }
  /** The next answer comes from the gateway, at the latest in front of the server's next message: call {@link takeLocal}. */
  get localReady(): boolean {
    return kindOf(this.#entries.head) === Kind.local;
  }
  /** The same, and the client waits for it: PostgreSQL keeps its answers in a buffer until then. */
  get localDue(): boolean {
    return this.localReady && this.#entries.due;
  }
  /** The client sent Flush, or the gateway refused a message: answers are due at once. */
  flush(): void {
    this.#entries.flush();
  }

  /** A message of the client or the gateway was sent to the server; with kind `local`, the gateway will answer it. */
  sent(op: number, kind: number = Kind.forward, note?: Note): void {
    this.#tally.sent(op, kind);
    if (this.#skipping && op !== Op.sync) return note?.dropped?.();
    this.#skipping = false;
    // With nothing in front of it a mark has no meaning.
    if (op === Op.copyEnd && this.answered) return;
    if (kind !== Kind.local) this.batch.sent(op);
    if (this.#uncertain) return this.#uncertain.sent(op, kind, note);
    this.#entries.push(op, kind, note);
    if (((Ops.endReady >> op) & 1) === 1) this.#entries.flush();
  }

  /** Takes the answer of the oldest entry, which is local. */
  takeLocal(): Buffer {
    const note = this.#entries.shift();
    note?.closed?.();
    this.#dropMarkers();
    return note?.answer?.(this.#status) ?? Buffer.alloc(0);
  }

  /** A message of the server other than ErrorResponse. `status` is ReadyForQuery's byte. */
  reply(type: number, status = 0): Verdict {
    const ours = kindOf(this.#entries.head) === Kind.swallow;
    if (ASIDE.has(type)) return ours && type !== Backend.notificationResponse ? Verdict.hide : Verdict.pass;
    if (type === Backend.readyForQuery) {
      this.#status = status;
      if (!ours) this.#tally.ready(status === Status.idle);
    }
    if (this.#uncertain) return this.#uncertain.reply(type, status);
    const entry = this.#entries.head;
    const kind = kindOf(entry);
    const answer = answerTo(opOf(entry), type);
    // A message that the server has to refuse cannot succeed.
    const succeeds = kind === Kind.mask && type !== Backend.readyForQuery;
    if (answer === Answer.none || succeeds) return Verdict.broken;
    if (type === Backend.copyInResponse || type === Backend.copyBothResponse) this.#copyIn = true;
    else if (type === Backend.commandComplete && this.#copyIn) this.#copySucceeded();
    if (answer === Answer.last) this.#close(type);
    return ours ? Verdict.hide : Verdict.pass;
  }

  /** An ErrorResponse. For verdict `mask` the note's error replaces it. */
  error(fatal: boolean): ErrorVerdict {
    if (fatal) {
      this.#fatal = true;
      return { verdict: Verdict.pass };
    }
    for (let last; this.#uncertain && this.#uncertain !== last;) (last = this.#uncertain).excludeFaultless();
    if (this.#uncertain) return this.#uncertain.error();
    const entry = this.#entries.head;
    if (entry === 0) return { verdict: this.#errorOutOfTheBlue() };
    const note = this.#entries.headNote;
    const verdict = note?.showsError ? Verdict.pass : verdictOfError(kindOf(entry));
    const eaten = this.#copyIn ? this.#entries.syncsAhead : 0;
    this.#copyIn = false;
    if (eaten > 0) this.#becomeUncertain();
    else if (isExtended(opOf(entry))) this.#dropToSync();
    return { verdict, note };
  }

  #close(type: number): void {
    // Else a Sync is still missing: `P(insert) B E H` leaves an empty ledger, the last status I, and an open transaction.
    this.#unsynced = type !== Backend.readyForQuery;
    if (type === Backend.readyForQuery) this.#copyIn = false;
    this.#entries.shift()?.closed?.();
    this.#dropMarkers();
  }

  #dropMarkers(): void {
    while (opOf(this.#entries.head) === Op.copyEnd) this.#entries.shift();
  }

  // ---- errors ----

  #errorOutOfTheBlue(): Verdict {
    if (!this.#unsynced) return Verdict.broken;
    this.#spoilt = true;
    this.#skipping = true;
    return Verdict.pass;
  }

  /** After an error in the extended protocol the server discards everything up to the next Sync, a Query included. */
  #dropToSync(): void {
    const notes: Note[] = [];
    while (this.#entries.length > 0 && opOf(this.#entries.head) !== Op.sync) {
      const note = this.#entries.shift();
      if (note) notes.push(note);
    }
    this.#skipping = this.#entries.length === 0;
    // Each takes back what it changed on top of those before it.
    for (const note of notes.toReversed()) note.dropped?.();
  }

  // ---- COPY FROM STDIN: the server ignores Sync and Flush until the client's CopyDone or CopyFail ----

  #copySucceeded(): void {
    this.#copyIn = false;
    const end = 1 + this.#entries.syncsAhead;
    const seen = end < this.#entries.length && opOf(this.#entries.at(end)) === Op.copyEnd;
    if (seen) this.#entries.removeBehindHead(end);
    else this.#answerLost = true;
    if (end > 1 && isExtended(opOf(this.#entries.head))) this.#continueBatch();
  }

  /** The COPY has read the Syncs of its batch, which goes on. */
  #continueBatch(): void {
    for (let i = 1; i < this.#entries.length; i += 1) {
      const entry = this.#entries.at(i);
      if (opOf(entry) === Op.sync) return;
      if (kindOf(entry) !== Kind.local && !isExtended(opOf(entry))) return this.batch.taint();
    }
    this.batch.begin();
  }

  #becomeUncertain(): void {
    if (this.#depth === MOST_DEPTH) return void (this.#answerLost = true);
    const entries = this.#entries;
    this.#entries = new Entries();
    const suppose = (status: number, skips: boolean): Ledger =>
      new Ledger(undefined, this.#depth + 1, status, skips);
    this.#uncertain = new Uncertainty(entries, suppose, (truth) => this.#adopt(truth));
  }

  #adopt(truth: Ledger): void {
    this.#uncertain = truth.#uncertain;
    this.#uncertain?.tell((truest) => this.#adopt(truest));
    if (truth.batch.tainted) this.batch.taint();
    this.#entries = truth.#entries;
    this.#skipping = truth.#skipping;
    this.#unsynced = truth.#unsynced;
    this.#copyIn = truth.#copyIn;
    this.#spoilt ||= truth.#spoilt;
    this.#answerLost ||= truth.#answerLost;
  }
}

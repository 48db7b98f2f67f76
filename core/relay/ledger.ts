/**
 * The requests that the server has not answered yet. Everything else is derived from them: whether the session is idle, where an
 * answer of the gateway belongs, which requests an error discards. The rules, each tried against a server, are in README.md
 * beside this file.
 */
import { Backend } from '../wire/frames.ts';
import { ASIDE, Answer, answerTo, verdictOfError } from './answers.ts';
import { Batch } from './batch.ts';
import { Entries, Kind, Op, isExtended, kindOf, lose, opOf } from './entries.ts';
import type { Note } from './entries.ts';
import { Tally } from './tally.ts';
import { Status } from './transaction-boundary.ts';
import type { Unfinished } from './transaction-boundary.ts';
import { BLIND, Uncertainty } from './uncertainty.ts';
import { Verdict } from './verdict.ts';

/** Operations that end in ReadyForQuery, without another message of the client. */
const ENDS_READY = (1 << Op.query) | (1 << Op.functionCall) | (1 << Op.sync);
/** Operations that may set parameters, end or break a transaction, or begin a COPY. */
const CHANGES = ENDS_READY | (1 << Op.execute);
/** A Bind may set parameters too: types and functions of users run in it, such as the check of a domain. */
const SETS = CHANGES | (1 << Op.bind);

/** One per session; no sockets, no buffers. */
export class Ledger {
  readonly #entries = new Entries();
  /** The batch that is being sent; whether it has made the connection unsafe. */
  readonly batch = new Batch();
  readonly #tally: Tally;
  #status: number = Status.idle;
  #skipping = false;
  #unsynced = false;
  #copyIn = false;
  #fatal = false;
  #spoilt = false;
  #uncertain: Uncertainty | undefined;
  #answerLost = false;

  /** `tally` counts messages. Default: a tally that is never read. */
  constructor(tally: Tally = new Tally()) {
    this.#tally = tally;
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
    return this.#spoilt || this.#uncertain !== undefined;
  }
  /** An answer or a name of the gateway stood inside a COPY, or behind one that failed uncertainly: it is not known whether it is due. */
  get answerLost(): boolean {
    return this.#answerLost;
  }
  /** The session has another server connection, whose answers are in order. */
  changed(): void {
    this.batch.reset();
    this.#spoilt = false;
  }
  get skipping(): boolean {
    return this.#skipping;
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
    const eaten = this.#copyIn && isExtended(opOf(this.#entries.head)) ? 1 + this.#entries.syncsAhead : 0;
    return !this.stuck && this.#entries.has(ENDS_READY, eaten);
  }
  /** The outstanding answers will not come by themselves: COPY needs data, replication goes on, or the order of answers is lost. */
  get stuck(): boolean {
    return this.spoilt || (this.#copyIn && !this.#entries.has(1 << Op.copyEnd));
  }
  /** An outstanding request may change run-time parameters, the transaction's state, or begin a COPY. */
  get changing(): boolean {
    return this.#entries.has(CHANGES);
  }
  /** Run-time parameters cannot have changed since the last ReadyForQuery. */
  get settingsKnown(): boolean {
    return !this.#unsynced && !this.#entries.has(SETS);
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
    if (this.#uncertain) return this.#uncertain.sent(op, note);
    if (this.#skipping && op !== Op.sync) return note?.dropped?.();
    this.#skipping = false;
    // With nothing in front of it a mark has no meaning.
    if (op === Op.copyEnd && this.#entries.length === 0) return;
    if (kind !== Kind.local) this.batch.sent(op);
    this.#entries.push(op, kind, note);
    if (((ENDS_READY >> op) & 1) === 1) this.#entries.flush();
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
    if (this.#uncertain) return this.#replyBlindly(this.#uncertain, type, status);
    const entry = this.#entries.head;
    const kind = kindOf(entry);
    const answer = answerTo(opOf(entry), type);
    // A message that the server has to refuse cannot succeed.
    const succeeds = kind === Kind.mask && type !== Backend.readyForQuery;
    if (answer === Answer.none || succeeds) return Verdict.broken;
    if (type === Backend.copyInResponse || type === Backend.copyBothResponse) this.#copyIn = true;
    else if (type === Backend.commandComplete && this.#copyIn) this.#copySucceeded();
    else if (type === Backend.readyForQuery) this.#status = status;
    if (type === Backend.readyForQuery && !ours) this.#tally.ready(status === Status.idle);
    if (answer === Answer.last) this.#close(type);
    return ours ? Verdict.hide : Verdict.pass;
  }

  /** An ErrorResponse. For verdict `mask` the note's error replaces it. */
  error(fatal: boolean): { verdict: Verdict; note?: Note | undefined } {
    if (fatal) {
      this.#fatal = true;
      return { verdict: Verdict.pass };
    }
    if (this.#uncertain) return { verdict: BLIND[this.#uncertain.error()] };
    const entry = this.#entries.head;
    if (entry === 0) return { verdict: this.#errorOutOfTheBlue() };
    const note = this.#entries.headNote;
    const verdict = note?.showsError ? Verdict.pass : verdictOfError(kindOf(entry));
    const eaten = this.#copyIn ? this.#entries.syncsAhead : 0;
    this.#copyIn = false;
    if (eaten > 0) this.#becomeUncertain(isExtended(opOf(entry)));
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
  }

  // ---- uncertain ----

  /** See {@link Uncertainty}; while there is one, nothing of ours may be sent but its probe. */
  get uncertain(): Uncertainty | undefined {
    return this.#uncertain;
  }

  #becomeUncertain(skips: boolean): void {
    this.#uncertain = new Uncertainty(skips);
    this.#entries.shift()?.dropped?.();
    let certain = false;
    while (this.#entries.length > 0) {
      const { head } = this.#entries;
      const op = opOf(head);
      this.#answerLost ||= kindOf(head) === Kind.local || kindOf(head) === Kind.swallow;
      const note = this.#entries.shift();
      certain ||= op !== Op.sync;
      if (certain) this.#uncertain.sent(op, note);
      else lose(note);
    }
  }

  #replyBlindly(uncertain: Uncertainty, type: number, status: number): Verdict {
    const verdict = uncertain.reply(type);
    this.#answerLost ||= uncertain.prepared;
    if (type === Backend.readyForQuery) this.#status = status;
    if (verdict !== 'settled') return BLIND[verdict];
    this.#uncertain = undefined;
    this.#unsynced = false;
    return Verdict.hide;
  }
}

/**
 * A COPY FROM STDIN failed with Syncs in flight before its end. Whether it read them (a bad row comes after them) or the
 * server answers them (a view fails before anything is read) cannot be told from the bytes: of k such Syncs, 0 to k are
 * answered. Each number is a possibility. What the server says next excludes those that it does not fit; the last one left is
 * the truth. Where nothing is under way that would tell, a probe does.
 */
import { randomBytes } from 'node:crypto';
import { Backend } from '../wire/frames.ts';
import { SYNC, encodeClose } from '../wire/to-server.ts';
import { Ops } from './answers.ts';
import { DeferredNotes } from './deferred-notes.ts';
import { Kind, Op, kindOf, lose, opOf } from './entries.ts';
import type { Entries, Note } from './entries.ts';
import { Verdict } from './verdict.ts';

/** What an error of the server is to the client. */
export interface ErrorVerdict {
  readonly verdict: Verdict;
  readonly note?: Note | undefined;
}

/** The outstanding requests if a certain number of Syncs is answered. */
export interface Possibility {
  readonly head: number;
  readonly headNote: Note | undefined;
  /** Another COPY has failed in it, and there are possibilities of its own. */
  readonly uncertain: Pick<Uncertainty<Possibility>, 'answered' | 'lost' | 'count'> | undefined;
  /** No request is outstanding. */
  readonly answered: boolean;
  /** ReadyForQuery will come by itself. */
  readonly endsReady: boolean;
  /** A Close and a Sync of the gateway would be answered, and no other message with a CloseComplete. */
  readonly takesProbe: boolean;
  readonly answerLost: boolean;
  sent(op: number, kind: number, note?: Note): void;
  reply(type: number, status: number): Verdict;
  error(fatal: boolean): ErrorVerdict;
}

/** Makes a possibility without outstanding requests; `skips`: the server discards everything up to a Sync. */
type Suppose<P extends Possibility> = (status: number, skips: boolean) => P;

/** Possibilities at once: more are only left where a client sends dozens of Syncs behind dozens of Syncs within a COPY. */
const MOST_ALIVE = 32;

/** A COPY that fails in a possibility within so many others ends the session. */
export const MOST_DEPTH = 3;

interface Branch<P extends Possibility> {
  readonly ledger: P;
  readonly notes: DeferredNotes;
}

/** From the error of the COPY until one possibility is left, or the session ends. */
export class Uncertainty<P extends Possibility> {
  readonly #suppose: Suppose<P>;
  #decided: (truth: P) => void;
  /** Requests behind the Syncs, and further ones while there may be more possibilities. */
  readonly #behind: Entries;
  #alive: Branch<P>[];
  /** So many of the Syncs may still be answered in front of everything behind them. */
  #more: number;
  /** The COPY's own ReadyForQuery comes first: it was a Query. */
  #ownReady: boolean;
  /** The client's last message is a Sync, so that another Sync changes nothing. True at first if the COPY was a Query. */
  #synced: boolean;
  /** Nothing but ReadyForQuery has come since: what was answered were Syncs with nothing in front that could fail. */
  #onlyReady = true;
  #probing = false;
  #lost = false;

  /** `entries` are the COPY and what was sent behind it; they are taken over. `decided` is told the truth, once. */
  constructor(entries: Entries, suppose: Suppose<P>, decided: (truth: P) => void) {
    const op = opOf(entries.head);
    this.#more = entries.syncsAhead;
    this.#ownReady = op === Op.query;
    this.#synced = this.#ownReady;
    this.#suppose = suppose;
    this.#decided = decided;
    const note = entries.shift();
    if (this.#ownReady) note?.closed?.();
    else note?.dropped?.();
    for (let i = 0; i < this.#more; i += 1) lose(entries.shift());
    this.#behind = entries;
    const first = this.#begin(0, !this.#ownReady, this.#ownReady);
    this.#alive = [first];
    for (let i = 0; i < entries.length; i += 1) this.#follows(opOf(entries.at(i)));
    this.#lost = entries.hasLocal;
  }

  /** An answer of the gateway cannot be placed any more, or there are too many possibilities. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Possibilities, those within others included. */
  get count(): number {
    return this.#alive.reduce((sum, { ledger }) => sum + (ledger.uncertain?.count ?? 1), 0);
  }

  /** Another ledger has taken this over, and is told the truth. */
  tell(decided: (truth: P) => void): void {
    this.#decided = decided;
  }

  /** True when a probe would decide between the possibilities: send {@link probe}. */
  get wantsProbe(): boolean {
    return !this.#probing && this.#synced && this.takesProbe;
  }

  /** See {@link Possibility.takesProbe}. */
  get takesProbe(): boolean {
    // If one more of the Syncs is answered, all requests behind them are outstanding.
    const clear = this.#more === 0 || !this.#behind.has(Ops.hideProbe);
    return clear && this.#alive.every(({ ledger }) => ledger.takesProbe);
  }

  get probing(): boolean {
    return this.#probing;
  }

  /** The server will send more messages without another one of the client. */
  get resolves(): boolean {
    return this.#probing || this.wantsProbe || this.#alive.every(({ ledger }) => ledger.endsReady);
  }

  /** The probe to send now: it closes a name that no statement has, and its answer shows where the client's answers end. */
  probe(): Buffer {
    this.#probing = true;
    this.sent(Op.close, Kind.swallow);
    this.sent(Op.sync, Kind.swallow);
    return Buffer.concat([encodeClose('S', `postern_${randomBytes(16).toString('hex')}`), SYNC]);
  }

  /** The next message: the client's, or the gateway's. */
  sent(op: number, kind: number, note?: Note): void {
    this.#follows(op);
    if (this.#more > 0) this.#behind.push(op, kind, note);
    for (const { ledger, notes } of this.#alive) ledger.sent(op, kind, note && notes.of(note));
  }

  /** The server has answered: in each possibility the observer of the oldest request gets the answer. */
  answered(type: number, bytes: number, body: Buffer | undefined): void {
    for (const { ledger } of this.#alive)
      (ledger.uncertain ?? ledger.headNote)?.answered?.(type, bytes, body);
  }

  /** A message of the server other than an error. */
  reply(type: number, status: number): Verdict {
    const ready = type === Backend.readyForQuery;
    const verdicts = this.#exclude((ledger) => ledger.reply(type, status));
    this.#onlyReady &&= ready;
    if (!ready) this.#more = 0;
    else if (this.#ownReady) this.#ownReady = false;
    else if (this.#more > 0) {
      this.#more -= 1;
      verdicts.add(Verdict.pass);
      this.#alive.push(this.#begin(status, false, false));
    }
    if (this.#more === 0 && this.#alive.every(({ ledger }) => ledger.answered)) this.#unite();
    this.#lost ||= this.count > MOST_ALIVE;
    if (this.#lost) this.#more = 0;
    return this.#agreed(verdicts);
  }

  /** An error that is not FATAL has come: it excludes possibilities without an outstanding request that can fail. */
  excludeFaultless(): void {
    this.#more = 0;
    const faulty = this.#alive.filter(({ ledger: { answered, head } }) =>
      this.#onlyReady ? head !== 0 && opOf(head) !== Op.sync : !answered,
    );
    this.#onlyReady = false;
    if (faulty.length > 0) this.#alive = faulty;
    this.#decide();
  }

  /** What that error is to the client, where more than one possibility is left. */
  error(): ErrorVerdict {
    const means: ErrorVerdict[] = [];
    const verdicts = this.#exclude((ledger) => {
      const meaning = ledger.error(false);
      if (meaning.verdict !== Verdict.broken) means.push(meaning);
      return meaning.verdict;
    });
    const [first] = means;
    const same = means.every(({ note }) => note?.error === first?.note?.error);
    this.#lost ||= !same || this.#alive.some(({ ledger }) => ledger.answerLost);
    return { verdict: this.#agreed(verdicts), note: first?.note };
  }

  /** Nothing is outstanding in any possibility: all are the same from here on, unless notes would be told different things. */
  #unite(): void {
    if (this.#alive.every(({ notes }) => notes.none)) this.#alive.length = Math.min(1, this.#alive.length);
    this.#lost ||= this.#probing && this.#alive.length > 1;
  }

  #follows(op: number): void {
    this.#synced = op === Op.sync || (this.#synced && op === Op.copyEnd);
  }

  /** A possibility in which the requests behind the Syncs are outstanding now; `own`: behind the COPY's ReadyForQuery. */
  #begin(status: number, skips: boolean, own: boolean): Branch<P> {
    const branch = { ledger: this.#suppose(status, skips), notes: new DeferredNotes() };
    if (own) branch.ledger.sent(Op.query, Kind.forward);
    for (let i = 0; i < this.#behind.length; i += 1) {
      const [entry, note] = [this.#behind.at(i), this.#behind.noteAt(i)];
      branch.ledger.sent(opOf(entry), kindOf(entry), note && branch.notes.of(note));
    }
    return branch;
  }

  #exclude(verdictOf: (ledger: P) => Verdict): Set<Verdict> {
    const verdicts = new Set<Verdict>();
    this.#alive = this.#alive.filter(({ ledger }) => {
      const verdict = verdictOf(ledger);
      if (verdict !== Verdict.broken) verdicts.add(verdict);
      return verdict !== Verdict.broken;
    });
    return verdicts;
  }

  /** The verdict of all possibilities. */
  #agreed(verdicts: ReadonlySet<Verdict>): Verdict {
    const [verdict = Verdict.broken] = verdicts;
    this.#lost ||= verdicts.size > 1 || this.#alive.some(({ ledger }) => ledger.uncertain?.lost);
    this.#decide();
    return verdict;
  }

  /** The last possibility is true: its requests are the outstanding ones. */
  #decide(): void {
    const [first, second] = this.#alive;
    if (!first || second || this.#more > 0 || this.#lost) return;
    this.#decided(first.ledger);
    first.notes.release();
  }
}

/**
 * Which workers accept connections: a listening socket is lent to a worker for so many of them. It decides, and its owner sends.
 * Ordinarily one worker has each socket, for one connection: that with the fewest. Where sessions end as fast as they come, several
 * have it at once for many: the one that has time accepts, and no message is sent per connection. Where many come and stay, one has it for
 * a few: faster than by one message each, and no worker gets many more than the others.
 */

import { Rush } from './rush.ts';
import { lastWith, SuspectAddresses } from './suspect-addresses.ts';
import type { Arrival } from './suspect-addresses.ts';

/** A socket on its way to a worker. */
export interface Lent {
  readonly n: number;
  /** The listener's name, or undefined for `admin`, which goes to the lead. */
  readonly listener: string | undefined;
  /** How many connections it may accept; undefined: without limit. */
  readonly accepts: number | undefined;
  /** Addresses whose connections wait. */
  readonly held: readonly string[];
  /** Whether it says that it listens: nobody has listened on this socket before. */
  readonly confirm: boolean;
}

/** What the decisions become. */
export interface DispatchParts {
  readonly listeners: readonly string[];
  readonly admin: boolean;
  readonly lend: (worker: number, lent: Lent) => void;
  readonly reclaim: (worker: number, n: number) => void;
  /** Asks the worker whether it has the socket of this number, by the same channel: {@link Dispatch.missed} if not. */
  readonly ask: (worker: number, n: number) => void;
  readonly lead: () => number | undefined;
  /** In milliseconds, monotonic. */
  readonly now: () => number;
  readonly warn: (fields: object, text: string) => void;
}

/** What a worker says of itself. */
export interface Beat {
  readonly connections: number;
  /** Connections that it has accepted so far. */
  readonly accepted: number;
  /** How late its event loop is, in milliseconds. */
  readonly lagMs: number;
}

/** What a worker says of a socket from which it accepts no more. */
export interface Accepted {
  readonly n: number;
  readonly count: number;
  readonly address?: string;
  readonly full?: true;
  readonly closed?: true;
}

interface Loan extends Lent {
  readonly since: number;
  asked: boolean;
  reclaimed: boolean;
}

interface Worker {
  beat: Beat;
  beatAt: number;
  /** When it has returned a socket since it was full, or has not got one. */
  missedAt: number;
  /** It has done so since its last beat: until the next one it gets none, or it would be asked again and again. */
  rests: boolean;
  /** It lets none in any more, since it ends. */
  closed: boolean;
  /** Another process is to take its place: it gets no connections of clients. */
  retires: boolean;
  readonly loans: Map<number, Loan>;
  /** Connections that it has said to have accepted when it returned a socket. */
  accepted: number;
  /** Sessions that end from one beat to the next, as a moving average. */
  ending: number;
  /** Its last connections. */
  recent: readonly Arrival[];
  lastTurn: number;
}

/** A worker whose event loop is later is given none while another one is there, in milliseconds. */
const LAGS_MS = 250;
/** One that has been silent for longer is late as well: two beats have failed to come, in milliseconds. */
const SILENT_MS = 750;
/** When a worker that beats is asked whether it has got a socket, in milliseconds. */
const MISSED_MS = 1_000;
/** How long others go before one that has missed a socket, in milliseconds. */
const SPARED_MS = 5_000;
/** Sessions that end from one beat to the next, over all workers, from which on several accept at once, and below which they do not any more. */
const [BUSY, CALM] = [25, 12];
/** More workers would be woken for each connection. */
const MOST_AT_ONCE = 4;
/** Connections for which a busy worker has a socket. */
const [FEWEST_ACCEPTS, MOST_ACCEPTS] = [4, 256];
/** From one look to the next a rush may have ended, in milliseconds. */
const RUSH_OVER_MS = 100;
/** How long after a death each connection is told of, in milliseconds. */
const CAREFUL_MS = 60_000;

/** One per parent. */
export class Dispatch {
  readonly #parts: DispatchParts;
  readonly #workers = new Map<number, Worker>();
  readonly #confirmed = new Set<string | undefined>();
  #last = 0;
  #turn = 0;
  #busy = false;
  #closed = false;
  #diedAt = -Infinity;
  readonly #rushes = new Map<string | undefined, Rush>();
  readonly #suspects = new SuspectAddresses();
  #allListen: () => void = () => {};
  /** Resolves when a worker has listened on each socket. */
  readonly listening = new Promise<void>((resolve) => (this.#allListen = resolve));

  constructor(parts: DispatchParts) {
    this.#parts = parts;
  }

  /** It serves from now on. */
  ready(worker: number): void {
    this.#workers.set(worker, {
      beat: { connections: 0, accepted: 0, lagMs: 0 },
      beatAt: this.#parts.now(),
      missedAt: -Infinity,
      rests: false,
      closed: false,
      retires: false,
      loans: new Map(),
      accepted: 0,
      ending: 0,
      recent: [],
      lastTurn: 0,
    });
    this.#lend();
  }

  beat(number: number, beat: Beat): void {
    const worker = this.#workers.get(number);
    if (!worker) return;
    const { accepted, connections } = worker.beat;
    const ended = beat.accepted - accepted - (beat.connections - connections);
    worker.ending = (worker.ending + Math.max(0, ended)) / 2;
    worker.beat = beat;
    worker.beatAt = this.#parts.now();
    worker.rests = false;
    this.#askFor(number, worker);
    this.#measure();
    this.#lend();
  }

  /** It accepts from the socket of this number. */
  listens(worker: number, n: number): void {
    const loan = this.#workers.get(worker)?.loans.get(n);
    if (loan) this.#confirmed.add(loan.listener);
    const { listeners, admin } = this.#parts;
    if (this.#confirmed.size === listeners.length + (admin ? 1 : 0)) this.#allListen();
  }

  /** The listener whose socket has this number; undefined for `admin`. */
  listenerOf(worker: number, n: number): string | undefined {
    return this.#workers.get(worker)?.loans.get(n)?.listener;
  }

  accepted(number: number, { n, count, address, full, closed }: Accepted): void {
    const worker = this.#workers.get(number);
    const loan = worker?.loans.get(n);
    if (!worker || !loan) return;
    worker.loans.delete(n);
    worker.accepted += count;
    this.#rushOf(loan.listener).returned(loan, count, this.#parts.now());
    if (address !== undefined) {
      const at = this.#parts.now();
      worker.recent = lastWith(worker.recent, { address, at });
      this.#suspects.seen(address, at);
    }
    worker.closed ||= closed === true;
    if (full) this.#spare(number, worker);
    this.#lend();
  }

  /** The socket of this number has not reached it, as where it has no descriptor left. */
  missed(number: number, n: number): void {
    const worker = this.#workers.get(number);
    if (!worker?.loans.delete(n)) return;
    this.#spare(number, worker);
    this.#lend();
  }

  /** It has ended. `died`: not because it was told to. */
  gone(number: number, died: boolean): void {
    const worker = this.#workers.get(number);
    if (!worker) return;
    this.#workers.delete(number);
    if (died) this.#died(worker);
    this.#lend();
  }

  /** From now on it accepts no client: others do. That of `admin` stays with the lead. */
  retire(number: number): void {
    const worker = this.#workers.get(number);
    if (!worker) return;
    worker.retires = true;
    this.#reclaim(({ listener }, by) => by === number && listener !== undefined);
    this.#lend();
  }

  /** No socket is lent any more. */
  close(): void {
    this.#closed = true;
  }

  #lend(): void {
    if (this.#closed) return;
    if (this.#parts.admin) this.#lendAdmin();
    for (const listener of this.#parts.listeners) {
      if (this.#busy) this.#lendToSeveral(listener);
      else this.#lendToOne(listener);
    }
  }

  #lendAdmin(): void {
    const number = this.#answersAdmin;
    const worker = number === undefined ? undefined : this.#workers.get(number);
    if (number === undefined || !worker || worker.closed || has(worker, undefined)) return;
    // One that had no descriptor for it would get it again and again.
    if (this.#parts.now() - worker.missedAt >= SPARED_MS) this.#lends(number, worker, undefined, undefined);
  }

  /** The lead; from when that has returned the socket, since it ends, the one that is the lead after it. */
  get #answersAdmin(): number | undefined {
    const number = this.#parts.lead();
    const lead = number === undefined ? undefined : this.#workers.get(number);
    if (!lead?.closed || has(lead, undefined)) return number;
    const others = [...this.#workers].flatMap(([other, { closed }]) => (closed ? [] : [other]));
    return others.length === 0 ? undefined : Math.min(...others);
  }

  #lendToOne(listener: string): void {
    const candidates = this.#candidates();
    if (candidates.some(([, worker]) => has(worker, listener))) return;
    const [first] = candidates;
    const accepts = this.#isCareful ? 1 : this.#rushOf(listener).accepts;
    if (first) this.#lends(first[0], first[1], listener, accepts);
  }

  #lendToSeveral(listener: string): void {
    const candidates = this.#candidates();
    const free = candidates.filter(([, worker]) => !has(worker, listener));
    const count = Math.min(MOST_AT_ONCE, candidates.length);
    // Of what comes until the second beat from now: each loan costs a message with a handle, and both sides an answer.
    const share = Math.round((this.#ending * 2) / count);
    const accepts = Math.min(MOST_ACCEPTS, Math.max(FEWEST_ACCEPTS, share));
    const missing = Math.max(0, count - (candidates.length - free.length));
    for (const [number, worker] of free.slice(0, missing)) this.#lends(number, worker, listener, accepts);
  }

  #lends(number: number, worker: Worker, listener: string | undefined, accepts: number | undefined): void {
    const n = (this.#last += 1);
    const held = this.#suspects.all(this.#parts.now());
    const lent = { n, listener, accepts, held, confirm: !this.#confirmed.has(listener) };
    worker.loans.set(n, { ...lent, since: this.#parts.now(), asked: false, reclaimed: false });
    worker.lastTurn = this.#turn += 1;
    this.#parts.lend(number, lent);
  }

  /** Prompt ones with the fewest connections first, of equals the one whose turn was longest ago. Where all are late, being served late is better than not at all. */
  #candidates(): readonly (readonly [number, Worker])[] {
    const all = [...this.#workers].filter(([, one]) => !one.rests && !one.closed && !one.retires);
    const prompt = all.filter(([, worker]) => !this.#isLate(worker));
    return (prompt.length > 0 ? prompt : all).toSorted(
      ([, a], [, b]) => connectionsOf(a) - connectionsOf(b) || a.lastTurn - b.lastTurn,
    );
  }

  #isLate({ beat, beatAt, missedAt }: Worker): boolean {
    const now = this.#parts.now();
    return beat.lagMs > LAGS_MS || now - beatAt > SILENT_MS || now - missedAt < SPARED_MS;
  }

  get #ending(): number {
    return [...this.#workers.values()].reduce((sum, { ending }) => sum + ending, 0);
  }

  /** Behind a death each connection is told of before it is read, so that the one that kills workers is found. */
  #measure(): void {
    const busy = !this.#isCareful && this.#ending >= (this.#busy ? CALM : BUSY);
    const wasBusy = this.#busy;
    this.#busy = busy;
    if (wasBusy && !busy) this.#reclaim(acceptsMany);
    else if (!busy) this.#endRushes();
  }

  /** Nobody comes any more to those that were to accept a few. */
  #endRushes(): void {
    const latest = this.#parts.now() - RUSH_OVER_MS;
    const isOver = (loan: Loan): boolean => acceptsMany(loan) && loan.since < latest;
    for (const { loans } of this.#workers.values())
      for (const loan of loans.values()) if (isOver(loan)) this.#rushOf(loan.listener).end();
    this.#reclaim(isOver);
  }

  get #isCareful(): boolean {
    return this.#parts.now() - this.#diedAt <= CAREFUL_MS;
  }

  #rushOf(listener: string | undefined): Rush {
    const rush = this.#rushes.get(listener) ?? new Rush();
    this.#rushes.set(listener, rush);
    return rush;
  }

  #reclaim(which: (loan: Loan, worker: number) => boolean): void {
    for (const [number, { loans }] of this.#workers)
      for (const loan of loans.values()) {
        if (loan.reclaimed || !which(loan, number)) continue;
        loan.reclaimed = true;
        this.#parts.reclaim(number, loan.n);
      }
  }

  /** It beats, so it reads its channel: a socket of which it has not said a word may be lost. */
  #askFor(number: number, { loans }: Worker): void {
    for (const loan of loans.values()) {
      if (loan.asked || this.#parts.now() - loan.since < MISSED_MS) continue;
      loan.asked = true;
      this.#parts.ask(number, loan.n);
    }
  }

  #spare(number: number, worker: Worker): void {
    const now = this.#parts.now();
    const isNew = now - worker.missedAt >= SPARED_MS;
    worker.missedAt = now;
    worker.rests = true;
    if (isNew)
      this.#parts.warn({ worker: number }, 'a worker has no descriptor left: others accept in its place');
  }

  #died({ recent }: Worker): void {
    const now = (this.#diedAt = this.#parts.now());
    for (const address of this.#suspects.died(recent, now))
      this.#parts.warn({ address }, 'workers died behind clients of this address: it waits');
    this.#busy = false;
    // Those that are lent know nothing of the addresses.
    this.#reclaim(({ listener }) => listener !== undefined);
  }
}

const acceptsMany = ({ accepts }: Loan): boolean => accepts !== undefined && accepts > 1;

const has = ({ loans }: Worker, listener: string | undefined): boolean =>
  [...loans.values()].some((loan) => loan.listener === listener && !loan.reclaimed);

/** Those that its last beat does not count yet are added, and those that it is about to accept. */
function connectionsOf({ beat, accepted, loans }: Worker): number {
  const due = [...loans.values()].filter(({ accepts, reclaimed }) => accepts === 1 && !reclaimed).length;
  return beat.connections + Math.max(0, accepted - beat.accepted) + due;
}

/**
 * The connections of a pool and the queue in front of them: which request gets which connection, and what is done so that
 * there is one. It decides only: sockets, timers and the clock are its {@link PoolOutside}.
 */
import type { PoolKey } from './key.ts';
import type { Limits } from './limits.ts';
import { IdleConnections } from './idle-connections.ts';
import type { Holder, Member, Owner } from './member.ts';
import { Members, total } from './members.ts';
import { speaksFor } from './openings.ts';
import type { Attempt } from './openings.ts';
import type { Condition, PoolOutside } from './pool-outside.ts';
import type { Sharing } from './sharing.ts';
import { UnderWay } from './under-way.ts';
import { WaitingClients } from './waiting-clients.ts';
import type { Waiter } from './wanted.ts';

/** What a state is made of. */
export interface PoolStateParts {
  readonly limits: Pick<Limits, 'size' | 'perRole' | 'reserve' | 'reserveAfterMs'>;
  readonly sharing: Sharing;
  readonly outside: PoolOutside;
}

/** One per pool. */
export class PoolState {
  readonly members = new Members();
  readonly waiting = new WaitingClients<Waiter>();
  readonly idle: IdleConnections;
  readonly #parts: PoolStateParts;
  #serving = false;
  #again = false;

  constructor(parts: PoolStateParts) {
    this.#parts = parts;
    this.idle = new IdleConnections({ ...parts, members: this.members, changed: () => this.serve() });
  }

  // ---- check-out ----

  /** The idle connection that suits best, from now on lent. */
  pick(key: PoolKey, owner: Owner): Member | undefined {
    for (;;) {
      const member = this.idle.paused ? undefined : this.members.suiting(key, owner, this.#parts.sharing);
      if (!member || this.idle.lend(member, owner)) return member;
    }
  }

  /** Lends one again to the session that had it last; false if it is not idle, has had another one since, or must not be. */
  retake(member: Member, holder: Holder): boolean {
    const { owner, state } = member;
    if (state !== 'idle' || owner?.holder !== holder || this.idle.paused) return false;
    return this.#parts.sharing.fits(member, owner) && this.idle.lend(member, owner);
  }

  /** Puts a request into the queue, and does what helps. */
  queue(waiter: Waiter): void {
    this.waiting.add(waiter);
    this.serve();
  }

  /** Takes one out that is not wanted any more. */
  leave(waiter: Waiter): void {
    this.waiting.remove(waiter, false);
  }

  // ---- check-in ----

  /** Takes back what was lent; the next in turn has it before this returns, where it is as that one needs it. */
  checkIn(member: Member, how: Condition): void {
    const { idle } = this;
    // Closed with the pool.
    if (member.state !== 'lent') return;
    const kept = how !== 'close' && member.key.pooled && !idle.keepsNothing && idle.usable(member);
    if (!kept) idle.close(member);
    else if (how === 'dirty') idle.reset(member);
    else if (!this.#passOn(member)) idle.keep(member);
  }

  /** Straight to the next in turn, of the same identity: neither watched nor listed meanwhile. Else the queue is gone through. */
  #passOn(member: Member): boolean {
    const { next } = this.waiting;
    const { sharing, outside } = this.#parts;
    if (!next || this.#serving || this.members.counts.idle > 0) return false;
    // What it said meanwhile is read by whoever watches it.
    if (member.connection?.channel.kept !== 0) return false;
    if (member.key.text !== next.key.text || !sharing.passes(member, next.owner)) return false;
    this.waiting.remove(next, true);
    this.idle.lent(member, next.owner);
    this.#serving = true;
    try {
      outside.granted(next, member);
    } finally {
      this.#serving = false;
    }
    if (this.#again) this.serve();
    return true;
  }

  /** The server has closed it. */
  closed(member: Member): void {
    this.members.remove(member);
    this.serve();
  }

  // ---- openings ----

  /** A new connection; false if it cannot be used, which is a failure, or it would be opened again and again. */
  opened(member: Member): boolean {
    this.idle.keep(member);
    return !member.spoilt;
  }

  /** The request that waited for it is refused, and so are others for which there is no other connection either. */
  failed(attempt: Attempt, error: unknown): void {
    const { idle, lent, resetting } = this.members.ofKey(attempt.wanted.key);
    const hopeless = idle + lent + resetting === 0;
    const now = this.#parts.outside.now();
    const concerned = (one: Waiter): boolean =>
      (one === attempt.wanted && one.since <= attempt.startedAt) ||
      (hopeless && speaksFor(attempt, one, now));
    for (const waiter of this.waiting.all().filter(concerned)) this.#refuse(waiter, error);
    this.serve();
  }

  /** Refuses the whole queue. */
  refuseAll(error: unknown): void {
    for (const waiter of this.waiting.all()) this.#refuse(waiter, error);
  }

  // ---- the queue ----

  /** Serves the queue as far as there is something to serve it with. Within a grant: when that is over. */
  serve(): void {
    this.#again = true;
    if (this.#serving) return;
    this.#serving = true;
    try {
      while (this.#again) {
        this.#again = false;
        while (this.waiting.size > 0 && this.#step());
      }
    } finally {
      this.#serving = false;
    }
    this.#parts.outside.served();
  }

  /** Goes through the queue until a request has left it; false if none could. */
  #step(): boolean {
    if (this.idle.paused || this.#exhausted) return false;
    const underWay = new UnderWay(this.members, this.#parts.sharing);
    for (const waiter of this.waiting.inTurn()) {
      if (this.#exhausted) return false;
      const member = this.pick(waiter.key, waiter.owner);
      if (member) {
        this.waiting.remove(waiter, true);
        this.#parts.outside.granted(waiter, member);
        return true;
      }
      const refusal = underWay.connection(waiter) ? undefined : this.#help(waiter, underWay);
      if (refusal) {
        this.#refuse(waiter, refusal);
        return true;
      }
    }
    return false;
  }

  /** Begins what gives a request a connection: a reset, an opening, or the end of a connection that is in the way. */
  #help(waiter: Waiter, underWay: UnderWay): Error | undefined {
    const { key, owner } = waiter;
    const { limits, outside, sharing } = this.#parts;
    const used = this.members.usedLongestAgo(key, owner, sharing);
    if (used) {
      if (this.idle.take(used)) this.idle.reset(used);
      return undefined;
    }
    const crowded = total(this.members.ofRole(key.role)) >= limits.perRole ? key.role : undefined;
    if (crowded !== undefined || this.#room <= 0) {
      const inTheWay = underWay.room(crowded) ? undefined : this.members.idleLongest(crowded);
      if (inTheWay) this.idle.close(inTheWay);
      return undefined;
    }
    const refusal = outside.refusal(key.role);
    if (!refusal && !outside.connecting) outside.open(waiter);
    return refusal;
  }

  #refuse(waiter: Waiter, error: unknown): void {
    this.waiting.remove(waiter, false);
    this.#parts.outside.refused(waiter, error);
  }

  /** Nothing is idle, and nothing can be opened. */
  get #exhausted(): boolean {
    return this.members.counts.idle === 0 && (this.#parts.outside.connecting || this.#room <= 0);
  }

  /** How many more connections there may be. */
  get #room(): number {
    const { size, reserve, reserveAfterMs } = this.#parts.limits;
    const { oldest } = this.waiting;
    const late =
      reserve > 0 && oldest !== undefined && this.#parts.outside.now() - oldest.since >= reserveAfterMs;
    return size + (late ? reserve : 0) - this.members.size;
  }
}

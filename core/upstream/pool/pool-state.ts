/**
 * The connections of a pool and the queue in front of them: which request gets which connection, and which action makes one
 * available. It only decides: sockets, timers and the clock are its {@link PoolOutside}.
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

/** The options of a state. */
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

  /** Lends the idle connection that suits best. */
  pick(key: PoolKey, owner: Owner): Member | undefined {
    for (;;) {
      const member = this.idle.paused ? undefined : this.members.suiting(key, owner, this.#parts.sharing);
      if (!member || this.idle.lend(member, owner)) return member;
    }
  }

  /** Lends one again to the session that had it last; false if it is not idle, another session had it since, or it may not be lent. */
  retake(member: Member, holder: Holder): boolean {
    const { owner, state } = member;
    if (state !== 'idle' || owner?.holder !== holder || this.idle.paused) return false;
    return this.#parts.sharing.fits(member, owner) && this.idle.lend(member, owner);
  }

  /** Puts a request into the queue and serves the queue. */
  queue(waiter: Waiter): void {
    this.waiting.add(waiter);
    this.serve();
  }

  /** Removes a cancelled request. */
  leave(waiter: Waiter): void {
    this.waiting.remove(waiter, false);
  }

  // ---- check-in ----

  /** Takes a lent connection back; the next request in turn gets it before this returns, if it suits as it is. */
  checkIn(member: Member, how: Condition): void {
    const { idle } = this;
    // Closed together with the pool.
    if (member.state !== 'lent') return;
    const kept = how !== 'close' && member.key.pooled && !idle.keepsNothing && idle.usable(member);
    if (!kept) idle.close(member);
    else if (how === 'dirty') idle.reset(member);
    else if (!this.#passOn(member)) idle.keep(member, true);
  }

  /** Lends it directly to the next request in turn, of the same identity, without listing it as idle. Else the whole queue is served. */
  #passOn(member: Member): boolean {
    const { next } = this.waiting;
    const { sharing, outside } = this.#parts;
    if (!next || this.#serving || this.members.counts.idle > 0) return false;
    // Bytes that arrived meanwhile have to be read by the idle watch.
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

  /** A new connection; false if it cannot be used. */
  opened(member: Member): boolean {
    this.idle.keep(member);
    return !member.spoilt;
  }

  /** Refuses the request that waited for it, and others that have no other connection to wait for. */
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

  /** Serves the queue as far as connections permit. A call within a grant takes effect after it. */
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

  /** Begins the action that makes a connection available: a reset, an opening, or closing an idle connection to make room. */
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

  /** No connection is idle, and none can be opened. */
  get #exhausted(): boolean {
    return this.members.counts.idle === 0 && (this.#parts.outside.connecting || this.#room <= 0);
  }

  /** A request has waited for so long that the reserve is for it. */
  get #isLate(): boolean {
    const { oldest } = this.waiting;
    if (oldest === undefined) return false;
    return this.#parts.outside.now() - oldest.since >= this.#parts.limits.reserveAfterMs;
  }

  /** How many more connections there may be. */
  get #room(): number {
    const { size, reserve } = this.#parts.limits;
    return size + (reserve > 0 && this.#isLate ? reserve : 0) - this.members.size;
  }
}

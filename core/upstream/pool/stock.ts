/** A pool's connections and the queue in front of them: who gets which, and what is done so that there is one. */
import type { DatabaseOptions } from '../../database.ts';
import type { Hosts } from '../hosts/hosts.ts';
import { unreachable } from '../refusals.ts';
import { Departures } from './departures.ts';
import { Keeper } from './keeper.ts';
import type { PoolKey } from './key.ts';
import type { Holder, Member, Owner } from './member.ts';
import { Members, total } from './members.ts';
import { Openings, speaksFor } from './openings.ts';
import type { Attempt, OpeningParts } from './openings.ts';
import { Sharing } from './sharing.ts';
import { dropStrays, hostsFor } from './strays.ts';
import { Turns } from './turns.ts';
import { UnderWay } from './under-way.ts';
import { Upkeep } from './upkeep.ts';
import type { Waiter } from './wanted.ts';

type OwnPart = 'members' | 'hosts' | 'opened' | 'failed' | 'postponed' | 'ready';

/** What a stock is made of. */
export interface StockParts extends Omit<OpeningParts, OwnPart> {
  readonly database: DatabaseOptions;
  /** Aborted when the pool ends. */
  readonly closing: AbortSignal;
}

/** One per pool. */
export class Stock {
  readonly members = new Members();
  readonly turns = new Turns<Waiter>();
  readonly upkeep: Upkeep;
  readonly hosts: Hosts;
  readonly departures: Departures;
  readonly #parts: StockParts;
  readonly #keeper: Keeper;
  readonly #openings: Openings;
  readonly #sharing: Sharing;

  constructor(parts: StockParts) {
    this.#parts = parts;
    const { members } = this;
    const sharing = new Sharing(parts);
    this.#sharing = sharing;
    const waiting = (): boolean => this.turns.size > 0;
    const hosts = hostsFor({ ...parts, members, waiting, changed: () => this.#review() });
    this.hosts = hosts;
    this.#keeper = new Keeper({ ...parts, members, sharing, hosts, changed: () => this.#serve() });
    this.departures = new Departures({ members, keeper: this.#keeper });
    this.#openings = new Openings({
      ...parts,
      members,
      hosts,
      postponed: () => this.#serve(),
      opened: (member, attempt) => this.#welcome(member, attempt),
      failed: (attempt, error) => this.#tellFailure(attempt, error),
      ready: () => this.#serve(),
    });
    this.upkeep = new Upkeep({
      ...parts,
      members,
      sharing,
      openings: this.#openings,
      close: (member) => void this.#keeper.close(member),
      waiting,
      looked: () => this.#serve(),
    });
  }

  /** Some role's login is not tried for a while. */
  get guarded(): boolean {
    return this.#openings.guarded;
  }

  /** The idle connection that suits best, from now on lent. */
  pick(key: PoolKey, owner: Owner): Member | undefined {
    for (;;) {
      const member = this.#keeper.paused ? undefined : this.members.suiting(key, owner, this.#sharing);
      if (!member || this.#keeper.lend(member, owner)) return member;
    }
  }

  /** Lends one again to the session that had it last; false if it is not idle, has had another one since, or must not be. */
  retake(member: Member, holder: Holder): boolean {
    const { owner, state } = member;
    if (state !== 'idle' || owner?.holder !== holder || this.#keeper.paused) return false;
    return this.#sharing.fits(member, owner) && this.#keeper.lend(member, owner);
  }

  /** Puts somebody into the queue, and does what helps. */
  queue(waiter: Waiter): void {
    this.turns.add(waiter);
    this.#serve();
  }

  /** Takes somebody out who does not want any more. */
  leave(waiter: Waiter): void {
    this.turns.remove(waiter, false);
  }

  /** Takes back what was lent. A promise only where the connection is closed: it resolves when that is done. */
  putBack(member: Member, how: 'clean' | 'reusable' | 'close'): Promise<void> | undefined {
    // Closed with the pool.
    if (member.state !== 'lent') return undefined;
    if (how === 'close' || !member.key.pooled || this.#keeper.keepsNothing) return this.#keeper.close(member);
    if (how === 'clean') return this.#keeper.keep(member);
    if (!this.#keeper.usable(member)) return this.#keeper.close(member);
    this.#keeper.reset(member);
    return undefined;
  }

  /** Keeps nothing any more. Resolves when nothing is left. */
  async retire(): Promise<void> {
    this.#keeper.retired = true;
    this.upkeep.keepsWarm = false;
    this.#keeper.closeIdle();
    await this.departures.all();
    this.hosts.rest();
  }

  /** Lends nothing until {@link resume}: who wants one waits. Resolves when nothing is left, which a resume may prevent. */
  async pause(): Promise<void> {
    this.#keeper.paused = this.#openings.paused = true;
    this.#keeper.closeIdle();
    await this.departures.all();
  }

  /** Serves whoever waits. */
  resume(): void {
    this.#keeper.paused = this.#openings.paused = false;
    this.#serve();
  }

  /** Replaces every connection: the idle ones now, the others when they come back. */
  reconnect(): void {
    for (const member of this.members.all()) member.outdated = true;
    this.#keeper.closeIdle();
  }

  /** Ends everything; `closing` has been aborted before. Resolves when nothing is left. */
  async close(): Promise<void> {
    const reason: unknown = this.#parts.closing.reason;
    for (const waiter of this.turns.all()) this.#refuse(waiter, reason);
    this.upkeep.stop();
    this.#openings.stop(reason);
    this.hosts.rest();
    // A conversation that has been stopped closes its connection itself: two who use one channel would hang it.
    for (const member of this.members.all()) if (!member.busy) void this.#keeper.close(member);
    await this.departures.all();
  }

  /** Some server has become another. */
  #review(): void {
    this.#openings.review();
    dropStrays(this.members, this.hosts);
    this.#serve();
  }

  // ---- the queue ----

  #serve(): void {
    while (this.turns.size > 0 && this.#step());
    this.departures.look();
  }

  /** Goes through the queue until somebody has left it; false if nobody could. */
  #step(): boolean {
    if (this.#keeper.paused || this.#exhausted) return false;
    const underWay = new UnderWay(this.members, this.#sharing);
    for (const waiter of this.turns.inTurn()) {
      if (this.#exhausted) return false;
      const member = this.pick(waiter.key, waiter.owner);
      if (member) {
        this.turns.remove(waiter, true);
        waiter.resolve(member);
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

  /** Begins what gives a waiter a connection: a reset, an opening, or the end of a connection that is in the way. */
  #help(waiter: Waiter, underWay: UnderWay): Error | undefined {
    const { key, owner } = waiter;
    const { perRole } = this.#parts.limits;
    const used = this.members.usedLongestAgo(key, owner, this.#sharing);
    if (used) {
      if (this.#keeper.take(used)) this.#keeper.reset(used);
      return undefined;
    }
    const crowded = total(this.members.ofRole(key.role)) >= perRole ? key.role : undefined;
    if (crowded !== undefined || this.#room <= 0) {
      const inTheWay = underWay.room(crowded) ? undefined : this.members.idleLongest(crowded);
      if (inTheWay) void this.#keeper.close(inTheWay);
      return undefined;
    }
    const refusal = this.#openings.refusal(key.role);
    if (!refusal && !this.#openings.busy) {
      this.upkeep.used(waiter);
      this.#openings.begin(waiter);
    }
    return refusal;
  }

  /** Nothing is idle, and nothing can be opened. */
  get #exhausted(): boolean {
    return this.members.counts.idle === 0 && (this.#openings.busy || this.#room <= 0);
  }

  /** How many more connections there may be. */
  get #room(): number {
    const { size, reserve, reserveAfterMs } = this.#parts.limits;
    const { oldest } = this.turns;
    const late = oldest !== undefined && this.#parts.clock.now() - oldest.since >= reserveAfterMs;
    return size + (late ? reserve : 0) - this.members.size;
  }

  #refuse(waiter: Waiter, error: unknown): void {
    this.turns.remove(waiter, false);
    waiter.reject(error);
  }

  /** A new connection. One that cannot be used is a failure, or it would be opened again and again. */
  #welcome(member: Member, attempt: Attempt): void {
    if (member.key.pooled) this.#sharing.learn(member.key.database, member.connection?.lasting === true);
    void this.#keeper.keep(member);
    if (!member.spoilt) return;
    this.#tellFailure(attempt, unreachable(new Error('the server said what nobody asked for, or closed')));
  }

  /** Whoever waited for it hears it, and so do others for whom there is no other connection either. */
  #tellFailure(attempt: Attempt, error: unknown): void {
    const { idle, lent, resetting } = this.members.ofKey(attempt.wanted.key);
    const hopeless = idle + lent + resetting === 0;
    const now = this.#parts.clock.now();
    const concerned = (one: Waiter): boolean =>
      one === attempt.wanted || (hopeless && speaksFor(attempt, one, now));
    for (const waiter of this.turns.all().filter(concerned)) this.#refuse(waiter, error);
    this.#serve();
  }
}

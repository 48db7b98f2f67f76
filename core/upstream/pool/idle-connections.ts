/** What becomes of a connection between two sessions: kept and watched, lent again, reset, closed. */
import { SessionSettings } from '../session-settings.ts';
import type { Limits } from './limits.ts';
import type { Member, Owner } from './member.ts';
import type { Members } from './members.ts';
import type { PoolOutside } from './pool-outside.ts';
import type { Sharing } from './sharing.ts';

/** What it depends on. */
export interface IdleConnectionsParts {
  readonly limits: Pick<Limits, 'size'>;
  readonly members: Members;
  readonly sharing: Sharing;
  readonly outside: PoolOutside;
  /** A connection is idle: a request may be served. */
  readonly changed: () => void;
}

/** One per pool. */
export class IdleConnections {
  /** True: nothing is kept but as many as there are sessions that come for one again and again. */
  retired = false;
  /** True: nothing is lent or kept until an operator lets the pool go on. */
  paused = false;
  readonly #parts: IdleConnectionsParts;

  constructor(parts: IdleConnectionsParts) {
    this.#parts = parts;
    parts.members.abandoned = () => this.retired && this.closeAll();
  }

  /** What comes back is closed. */
  get keepsNothing(): boolean {
    return this.paused || (this.retired && this.#spare >= 0);
  }

  /** How many more are idle than there are sessions that come again and again. */
  get #spare(): number {
    const { counts, patrons } = this.#parts.members;
    return counts.idle + counts.resetting - patrons;
  }

  /** Whether it may be kept: it is connected, not too old, and there may be a session for it. */
  usable(member: Member): boolean {
    const connected = member.connection?.channel.closed === false;
    return connected && !this.#old(member) && !this.#parts.sharing.spent(member);
  }

  /** Every connection serves once, however short the lifetime; but none whose server has become another. */
  #old(member: Member): boolean {
    const { outdated, uses, expiresAt } = member;
    const { outside } = this.#parts;
    return outdated || (uses > 0 && outside.now() >= expiresAt) || !outside.fits(member);
  }

  /** It is idle and carries the state of its owner, or none: for whichever session comes next. */
  keep(member: Member): void {
    const { limits, members, outside } = this.#parts;
    if (!this.usable(member)) return this.close(member);
    members.become(member, 'idle');
    member.idleSince = outside.now();
    outside.watch(member);
    this.#parts.changed();
    // The one it was for has left, or it was the reserve's, or nothing is kept now.
    const needless =
      !member.key.pooled || members.size > limits.size || this.paused || (this.retired && this.#spare > 0);
    if (member.state === 'idle' && needless) this.close(member);
  }

  /** Ends the watch over an idle one; false if it is spoilt or too old, and then it is being closed. */
  take(member: Member): boolean {
    member.spoilt ||= !this.#parts.outside.unwatch(member);
    const good = !member.spoilt && !this.#old(member);
    if (!good) this.close(member);
    return good;
  }

  /** From now on it is `owner`'s; false as {@link take} says. */
  lend(member: Member, owner: Owner): boolean {
    if (!this.take(member)) return false;
    this.#parts.members.become(member, 'lent');
    this.lent(member, owner);
    return true;
  }

  /** As {@link lend}, of one that was lent to another session until now. */
  lent(member: Member, owner: Owner): void {
    this.#parts.sharing.lent(member, owner);
    member.uses += 1;
    member.stays = undefined;
  }

  /** An idle one said what must not come, or its end. */
  spoilt(member: Member): void {
    member.spoilt = true;
    this.close(member);
  }

  /** Resets one that no request waits for: then it is kept, or closed. */
  reset(member: Member): void {
    this.#parts.members.become(member, 'resetting');
    this.#parts.outside.reset(member);
  }

  /** A reset is over. */
  wasReset(member: Member, done: boolean): void {
    if (member.state !== 'resetting') return;
    if (!done) return this.close(member);
    member.owner = undefined;
    member.applied = SessionSettings.none;
    this.keep(member);
  }

  /** Closes one; until the server has closed it, it counts. */
  close(member: Member): void {
    if (!member.connection || member.state === 'closing') return;
    this.#parts.members.become(member, 'closing');
    this.#parts.outside.close(member);
  }

  /** Closes what is idle. */
  closeAll(): void {
    for (const member of this.#parts.members.all('idle')) this.close(member);
  }
}

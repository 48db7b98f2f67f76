/** Decides about a connection between two sessions: keep and watch it, lend it again, reset it, or close it. */
import { SessionSettings } from '../session-settings.ts';
import type { Limits } from './limits.ts';
import type { Member, Owner } from './member.ts';
import type { Members } from './members.ts';
import type { PoolOutside } from './pool-outside.ts';
import type { Sharing } from './sharing.ts';

/** The parts of the pool that the decision uses. */
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
  /** True: the pool keeps at most as many connections as it has sessions in transaction mode. */
  retired = false;
  /** True: no connection is lent or kept until an operator resumes the pool. */
  paused = false;
  /** The session that was last lent a connection is of the identity that had that connection before. */
  returning = true;
  readonly #parts: IdleConnectionsParts;

  constructor(parts: IdleConnectionsParts) {
    this.#parts = parts;
    parts.members.abandoned = () => this.retired && this.closeAll();
  }

  /** Connections are closed at check-in. */
  get keepsNothing(): boolean {
    return this.paused || (this.retired && this.#spare >= 0);
  }

  /** How many more connections are idle than there are sessions in transaction mode. */
  get #spare(): number {
    const { counts, patrons } = this.#parts.members;
    return counts.idle + counts.resetting - patrons;
  }

  /** Whether it may be kept: it is connected, not too old, and a session may still use it. */
  usable(member: Member): boolean {
    const connected = member.connection?.channel.closed === false;
    return connected && !this.#old(member) && !this.#parts.sharing.spent(member);
  }

  /** Every connection serves once, however short the lifetime; but not if its server has changed. */
  #old(member: Member): boolean {
    const { outdated, uses, expiresAt } = member;
    const { outside } = this.#parts;
    return outdated || (uses > 0 && outside.now() >= expiresAt) || !outside.fits(member);
  }

  /** It is idle, with the state of its owner or without any: the next session may get it. */
  keep(member: Member, isKnownUsable = false): void {
    const { limits, members, outside } = this.#parts;
    if (!isKnownUsable && !this.usable(member)) return this.close(member);
    members.become(member, 'idle');
    member.idleSince = outside.now();
    outside.watch(member);
    this.#parts.changed();
    // Its session has ended, or it belonged to the reserve, or the pool keeps no connections now.
    const needless =
      !member.key.pooled || members.size > limits.size || this.paused || (this.retired && this.#spare > 0);
    if (member.state === 'idle' && needless) this.close(member);
  }

  /** Stops watching an idle one; false if it cannot be used or is too old: then it is being closed. */
  take(member: Member): boolean {
    member.spoilt ||= !this.#parts.outside.unwatch(member);
    const good = !member.spoilt && !this.#old(member);
    if (!good) this.close(member);
    return good;
  }

  /** Lends it to `owner`; false as of {@link take}. */
  lend(member: Member, owner: Owner): boolean {
    if (!this.take(member)) return false;
    this.#parts.members.become(member, 'lent');
    this.lent(member, owner);
    return true;
  }

  /** As {@link lend}, for one that was lent to another session until now. */
  lent(member: Member, owner: Owner): void {
    this.#parts.sharing.lent(member, owner);
    member.uses += 1;
    this.returning = (member.lastFingerprint ?? owner.fingerprint) === owner.fingerprint;
    member.lastFingerprint = owner.fingerprint;
    member.stays = undefined;
  }

  /** An idle one sent an unexpected message, or was closed. */
  spoilt(member: Member): void {
    member.spoilt = true;
    this.close(member);
  }

  /** Resets one; afterwards it is kept, or closed. */
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

  /** Closes one; it counts until the server has closed it. */
  close(member: Member): void {
    if (!member.connection || member.state === 'closing') return;
    this.#parts.members.become(member, 'closing');
    this.#parts.outside.close(member);
  }

  /** Closes all idle ones. */
  closeAll(): void {
    for (const member of this.#parts.members.all('idle')) this.close(member);
  }
}

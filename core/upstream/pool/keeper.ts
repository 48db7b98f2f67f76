/** What happens to one connection between two sessions: watched while it is idle, reset, closed. */
import { whenClosed } from '../closing.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Clock } from './clock.ts';
import type { Limits } from './limits.ts';
import type { Member, Owner } from './member.ts';
import type { Members } from './members.ts';
import { STEP_MS } from './prepare.ts';
import { reset } from './reset.ts';
import type { Sharing } from './sharing.ts';
import { watch } from './watch.ts';

/** What a keeper needs, and who hears when something has become free. */
export interface KeeperParts {
  readonly limits: Pick<Limits, 'size'>;
  readonly clock: Clock;
  /** Aborted when the pool ends. */
  readonly closing: AbortSignal;
  readonly members: Members;
  readonly sharing: Sharing;
  readonly hosts: Pick<Hosts, 'fits'>;
  /** A connection is idle, or a place is free. */
  changed(): void;
}

/**
 * What most clients of an application choose alike. Not client_encoding: names and values of other settings are sent in UTF-8.
 */
const PRESET = new Set(['application_name', 'DateStyle', 'IntervalStyle', 'TimeZone', 'extra_float_digits']);

/** One per pool. */
export class Keeper {
  /** True: nothing is kept but as many as there are sessions that come for one again and again. */
  retired = false;
  /** True: nothing is kept until an operator lets the pool go on. */
  paused = false;
  readonly #parts: KeeperParts;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    parts.members.abandoned = () => this.retired && this.closeIdle();
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

  /** Whether it may be kept: it is connected, not too old, there may be somebody for it, and the pool goes on. */
  usable(member: Member): boolean {
    const { closing, sharing } = this.#parts;
    const connected = member.connection?.channel.closed === false;
    return connected && !closing.aborted && !this.#old(member) && !sharing.spent(member);
  }

  /** Every connection serves once, however short the lifetime; but none whose server has become another. */
  #old(member: Member): boolean {
    const { outdated, uses, expiresAt } = member;
    const late = uses > 0 && this.#parts.clock.now() >= expiresAt;
    return outdated || late || !this.#parts.hosts.fits(member);
  }

  /** It is idle and carries the state of its owner, or none: for whoever comes next. A promise only where it is closed. */
  keep(member: Member): Promise<void> | undefined {
    const { connection } = member;
    if (!connection || !this.usable(member)) return this.close(member);
    this.#parts.members.become(member, 'idle');
    member.idleSince = this.#parts.clock.now();
    member.unwatch = watch(connection, () => {
      member.spoilt = true;
      void this.close(member);
    });
    this.#parts.changed();
    const { size } = this.#parts.limits;
    // Whoever it was for has left, or it was the reserve's, or nothing is kept now.
    const needless =
      !member.key.pooled ||
      this.#parts.members.size > size ||
      this.paused ||
      (this.retired && this.#spare > 0);
    return member.state === 'idle' && needless ? this.close(member) : undefined;
  }

  /** Ends the watch over an idle one; false if it is spoilt or too old, and then it is being closed. */
  take(member: Member): boolean {
    member.spoilt ||= member.unwatch?.() === false;
    member.unwatch = undefined;
    const good = !member.spoilt && !this.#old(member);
    if (!good) void this.close(member);
    return good;
  }

  /** From now on it is `owner`'s; false as {@link take} says. */
  lend(member: Member, owner: Owner): boolean {
    if (!this.take(member)) return false;
    const { members, sharing } = this.#parts;
    members.become(member, 'lent');
    sharing.lent(member, owner);
    member.uses += 1;
    member.stays = undefined;
    return true;
  }

  /** Nobody waits for it: then it is kept, or closed. */
  reset(member: Member): void {
    const { connection } = member;
    if (!connection) return;
    this.#parts.members.become(member, 'resetting');
    member.busy = true;
    const { closing, sharing } = this.#parts;
    const asks = sharing.asks(member.key.database);
    const wanted = member.settings.filter(({ name, from }) => from === 'client' && PRESET.has(name));
    void reset(connection, { ms: STEP_MS, closing, wanted, asks }).then((outcome) => {
      member.busy = false;
      if (outcome.lasting !== undefined) sharing.learn(member.key.database, outcome.lasting);
      if (!outcome.done) return void this.close(member);
      member.owner = undefined;
      member.settings = [];
      member.preset = outcome.preset;
      void this.keep(member);
    });
  }

  /** Closes what nobody uses. */
  closeIdle(): void {
    for (const member of this.#parts.members.all('idle')) void this.close(member);
  }

  /** Resolves when the server has closed it: until then it counts. */
  async close(member: Member): Promise<void> {
    const { connection } = member;
    if (!connection || member.state === 'closing') return;
    this.#parts.members.become(member, 'closing');
    const closed = whenClosed(connection.channel);
    connection.close();
    await closed;
    this.#parts.members.remove(member);
    this.#parts.changed();
  }
}

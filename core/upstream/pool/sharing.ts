/** How far server connections travel: whom one may serve that has served somebody, and who may have it as it was left. */
import type { PoolOptions } from '../../database.ts';
import type { Logger } from '../../session.ts';
import type { Clock } from './clock.ts';
import type { Holder, Member, Owner } from './member.ts';

/** How far, by the smallest circle of sessions that a connection never leaves. */
export type Share = NonNullable<PoolOptions['share']>;

/** What sharing depends on. */
export interface SharingParts {
  /** The key of `databases`, for the operator. */
  readonly entry: string;
  readonly limits: Pick<PoolOptions, 'share' | 'reset'>;
  readonly clock: Clock;
  readonly log?: Pick<Logger, 'info'> | undefined;
}

/** How long what a server said of a database is believed, in milliseconds: extensions come and go. */
export const BELIEVED_MS = 10_000;

/** One per pool. */
export class Sharing {
  /** Reset between any two sessions, those of one identity included. */
  readonly resetsAlways: boolean;
  readonly #parts: SharingParts;
  /** By the name on the server: whether it has what no reset undoes, and since when that is known. */
  readonly #lasting = new Map<string, { readonly is: boolean; readonly at: number }>();

  constructor(parts: SharingParts) {
    this.#parts = parts;
    this.resetsAlways = parts.limits.reset === 'always';
  }

  /** As configured; else `'subject'` where the database has what no reset undoes, and `'role'` where it has not. */
  of(database: string): Share {
    return this.#parts.limits.share ?? (this.#lasting.get(database)?.is ? 'subject' : 'role');
  }

  /** It matters what the server says of a database, and it has not been asked for a while. */
  asks(database: string): boolean {
    const at = this.#lasting.get(database)?.at ?? -Infinity;
    return this.#parts.limits.share === undefined && this.#parts.clock.now() - at >= BELIEVED_MS;
  }

  /** What a server said of a database. */
  learn(database: string, lasting: boolean): void {
    const { limits, clock, entry, log } = this.#parts;
    if (limits.share !== undefined) return;
    const before = this.#lasting.get(database)?.is ?? false;
    this.#lasting.set(database, { is: lasting, at: clock.now() });
    if (lasting === before) return;
    const why = lasting
      ? 'the database has what no reset undoes'
      : 'nothing in the database outlives a reset';
    log?.info(
      { entry, database, share: this.of(database), why },
      'how far server connections travel has changed',
    );
  }

  /** A session gets it: from now on it belongs to that session's circles. */
  lent(member: Member, { circles, holder }: Owner): void {
    const { served } = member;
    for (const circle of ['session', 'subject', 'tenant'] as const)
      served[circle] =
        served[circle] === undefined || served[circle] === circles[circle] ? circles[circle] : null;
    member.lastHolder = holder;
  }

  /** Whether it has served nobody whose traces a session must not meet. */
  fits({ key, served }: Member, { circles }: Owner): boolean {
    const share = this.of(key.database);
    return share === 'role' || served[share] === undefined || served[share] === circles[share];
  }

  /** Whether `next` may have it as its owner has left it. */
  passes(member: Member, next: Owner): boolean {
    const { owner } = member;
    if (!owner) return false;
    const same = owner.holder !== undefined && owner.holder === next.holder;
    const suits = same || (!this.resetsAlways && owner.fingerprint === next.fingerprint);
    return suits && this.fits(member, next);
  }

  /** Nobody may ever have it again. */
  spent({ key, served, lastHolder }: Member): boolean {
    const share = this.of(key.database);
    if (share === 'role' || served[share] === undefined) return false;
    return served[share] === null || (share === 'session' && isOver(lastHolder));
  }
}

/** A session nobody knows cannot come back. */
function isOver(holder: Holder | undefined): boolean {
  return holder === undefined || holder.signal?.aborted === true;
}

/** Which sessions may use a server connection that has served another session, and which of them without a reset. */
import type { PoolOptions } from '../../contract/pool.ts';
import type { Logger } from '../../contract/session.ts';
import type { Clock } from '../clock.ts';
import type { Holder, Owner } from './checkout-request.ts';
import type { PooledServer } from './pooled-servers.ts';

/** The smallest group of sessions that a connection never leaves. */
export type Share = NonNullable<PoolOptions['share']>;

/** The options of the isolation. */
export interface IsolationParts {
  /** The key of `databases`, for the operator. */
  readonly entry: string;
  readonly limits: Pick<PoolOptions, 'share' | 'reset'>;
  readonly clock: Clock;
  readonly log?: Pick<Logger, 'info'> | undefined;
}

/** How long a server's answer about a database is used, in milliseconds: extensions are created and dropped. */
export const BELIEVED_MS = 10_000;

/** One per pool. */
export class Isolation {
  /** Connections are reset between any two sessions, those of one identity included. */
  readonly resetsAlways: boolean;
  readonly #parts: IsolationParts;
  /** By the database's name on the server: whether it has state that no reset undoes, and the time of that answer. */
  readonly #unresettable = new Map<string, { readonly is: boolean; readonly at: number }>();
  /** A database has had it: without any, nothing is looked up. */
  #someLast = false;

  constructor(parts: IsolationParts) {
    this.#parts = parts;
    this.resetsAlways = parts.limits.reset === 'always';
  }

  /** As configured; else `'subject'` where the database has state that no reset undoes, and `'role'` where it has not. */
  of(database: string): Share {
    const { share } = this.#parts.limits;
    if (share !== undefined) return share;
    return this.#someLast && this.#unresettable.get(database)?.is ? 'subject' : 'role';
  }

  /** The server's answer about a database is needed, and the last one is too old. */
  asks(database: string): boolean {
    const at = this.#unresettable.get(database)?.at ?? -Infinity;
    return this.#parts.limits.share === undefined && this.#parts.clock.now() - at >= BELIEVED_MS;
  }

  /** A server's answer about a database. */
  learn(database: string, unresettable: boolean): void {
    const { limits, clock, entry, log } = this.#parts;
    if (limits.share !== undefined) return;
    const before = this.#unresettable.get(database)?.is ?? false;
    this.#unresettable.set(database, { is: unresettable, at: clock.now() });
    this.#someLast ||= unresettable;
    if (unresettable === before) return;
    const why = unresettable
      ? 'the database has what no reset undoes'
      : 'nothing in the database outlives a reset';
    log?.info(
      { entry, database, share: this.of(database), why },
      'how far server connections travel has changed',
    );
  }

  /** A session gets the connection, which from now on belongs to the groups of that session. */
  lent(server: PooledServer, { scopes, holder }: Owner): void {
    const { served, lastHolder } = server;
    if (holder !== undefined && holder === lastHolder) return;
    served.session = widened(served.session, scopes.session);
    served.subject = widened(served.subject, scopes.subject);
    served.tenant = widened(served.tenant, scopes.tenant);
    server.lastHolder = holder;
  }

  /** Whether the session may use the connection, after all sessions that it has served. */
  fits({ key, served }: PooledServer, { scopes }: Owner): boolean {
    const share = this.of(key.database);
    return share === 'role' || served[share] === undefined || served[share] === scopes[share];
  }

  /** Whether a session of this identity may use it as it is, or after {@link discardSequences} only. */
  sharesState({ owner, left }: PooledServer, { fingerprint }: Owner): boolean {
    return left !== 'state' && !this.resetsAlways && owner?.fingerprint === fingerprint;
  }

  /** Whether `next` may use it as its owner left it. */
  passes(server: PooledServer, next: Owner): boolean {
    const { owner } = server;
    if (!owner) return false;
    const same = owner.holder !== undefined && owner.holder === next.holder;
    return (same || this.passesToOthers(server, next)) && this.fits(server, next);
  }

  /** Whether another session of the same identity may use it as it is. */
  passesToOthers(server: PooledServer, next: Owner): boolean {
    const left =
      server.left === 'nothing' || (server.left === 'sequences' && next.discardsSequences === true);
    return left && this.sharesState(server, next);
  }

  /** Of idle ones, that which suits best as it is: of the same session, of the same identity, or a clean one; the latest used. */
  best(idle: readonly PooledServer[], next: Owner): PooledServer | undefined {
    const { holder } = next;
    const last = (suits: (server: PooledServer) => boolean): PooledServer | undefined =>
      idle.findLast((server) => suits(server) && this.fits(server, next));
    return (
      (holder && last(({ owner }) => owner?.holder === holder)) ??
      last((server) => this.passesToOthers(server, next)) ??
      last(({ owner }) => owner === undefined)
    );
  }

  /** Of idle ones, that which may serve `next` after a reset: the cheapest, or that which has carried another session's state for longest. */
  bestAfterReset(idle: readonly PooledServer[], next: Owner): PooledServer | undefined {
    const first = (suits: (server: PooledServer) => boolean): PooledServer | undefined =>
      idle.find((server) => suits(server) && this.fits(server, next));
    return first((server) => this.sharesState(server, next)) ?? first(({ owner }) => owner !== undefined);
  }

  /** No session may ever use it again. */
  exhausted({ key, served, lastHolder }: PooledServer): boolean {
    const share = this.of(key.database);
    if (share === 'role' || served[share] === undefined) return false;
    return served[share] === null || (share === 'session' && isOver(lastHolder));
  }
}

/** The session, subject or tenant that a connection has served, and one more: null if there are several. */
const widened = (served: string | null | undefined, one: string): string | null =>
  served === undefined || served === one ? one : null;

/** A session without a holder cannot come back. */
function isOver(holder: Holder | undefined): boolean {
  return holder === undefined || holder.signal?.aborted === true;
}

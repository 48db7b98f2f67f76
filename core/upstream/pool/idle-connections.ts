/** Decides about a connection between two sessions: keep and watch it, lend it again, reset it, or close it. */
import { SessionSettings } from '../session-settings.ts';
import type { Owner, Waiter } from './checkout-request.ts';
import type { PooledServer, PooledServers } from './pooled-servers.ts';
import type { Limits } from './limits.ts';
import type { Isolation } from './isolation.ts';

/**
 * The condition of a connection at check-in. `clean`: idle, no answer outstanding, and no tag showed that state was left, so that
 * the same identity may have it as it is. `suspect`: as `clean`, but state may be left that no tag shows, so that only the same session
 * may have it as it is; `sequences`: nothing but values of sequences. `dirty`: idle and no answer outstanding. `close`: any other.
 */
export type Condition = 'clean' | 'sequences' | 'suspect' | 'dirty' | 'close';

/** `sequences`: only values of sequences, which `lastval` shows, for another session of the same identity. */
export type Reset = 'sequences' | 'all';

/** Questions and effects of the state. */
export interface PoolEnvironment {
  /** By the pool's clock. */
  now(): number;
  /** No connection may be opened now. */
  readonly connecting: boolean;
  /** Why none may be opened for a role now. */
  refusal(role: string): Error | undefined;
  /**
   * Begins to open one, where a server suits; ends with a call of `opened` or `failed`. It does not where other workers have
   * all connections: because of `size`, or of `perRole`.
   */
  open(waiter: Waiter): 'size' | 'role' | undefined;
  /** Whether the connection's server still suits. */
  fits(server: PooledServer): boolean;
  /** Watches an idle connection; calls `unusable` when it cannot be used. */
  watch(server: PooledServer): void;
  /** Stops watching; false: the connection must not be used. */
  unwatch(server: PooledServer): boolean;
  /** Ends with a call of `wasReset`. */
  reset(server: PooledServer, what: Reset): void;
  /** Ends with a call of `closed`. */
  close(server: PooledServer): void;
  /** The request has left the queue, and the connection is lent to it. */
  granted(waiter: Waiter, server: PooledServer): void;
  /** The request has left the queue without a connection. */
  refused(waiter: Waiter, error: unknown): void;
  /** The queue was gone through, or a connection is gone. */
  served(): void;
}

/** The parts of the pool that the decision uses. */
interface IdleConnectionsParts {
  readonly limits: Pick<Limits, 'size'>;
  readonly servers: PooledServers;
  readonly isolation: Isolation;
  readonly environment: PoolEnvironment;
  /** A connection is idle: a request may be served. */
  readonly changed: () => void;
}

/**
 * Decides about a connection between two sessions: keep and watch it, lend it again, reset it, or close it. One per
 * pool.
 */
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
    parts.servers.noTransactionSessions = () => this.retired && this.closeAll();
  }

  /** Connections are closed at check-in. */
  get keepsNothing(): boolean {
    return this.paused || (this.retired && this.#spare() >= 0);
  }

  /** How many more connections are idle than there are sessions in transaction mode. */
  #spare(): number {
    const { counts, transactionSessions } = this.#parts.servers;
    return counts.idle + counts.resetting - transactionSessions;
  }

  /** Whether it may be kept: it is connected, not too old, and a session may still use it. */
  usable(server: PooledServer): boolean {
    const connected = server.connection?.channel.closed === false;
    return connected && !this.#old(server) && !this.#parts.isolation.exhausted(server);
  }

  /** Every connection serves once, however short the lifetime; but not if its server has changed. */
  #old(server: PooledServer): boolean {
    const { outdated, uses, expiresAt } = server;
    const { environment } = this.#parts;
    return outdated || (uses > 0 && environment.now() >= expiresAt) || !environment.fits(server);
  }

  /** It is idle, with the state of its owner or without any: the next session may get it. */
  keep(server: PooledServer, isKnownUsable = false): void {
    const { limits, servers, environment } = this.#parts;
    if (!isKnownUsable && !this.usable(server)) return this.close(server);
    servers.become(server, 'idle');
    server.idleSince = environment.now();
    environment.watch(server);
    this.#parts.changed();
    // Its session has ended, or it belonged to the reserve, or the pool keeps no connections now.
    const needless =
      !server.key.pooled || servers.size > limits.size || this.paused || (this.retired && this.#spare() > 0);
    if (server.state === 'idle' && needless) this.close(server);
  }

  /** Stops watching an idle one; false if it cannot be used or is too old: then it is being closed. */
  take(server: PooledServer): boolean {
    server.unusable ||= !this.#parts.environment.unwatch(server);
    const good = !server.unusable && !this.#old(server);
    if (!good) this.close(server);
    return good;
  }

  /** Lends it to `owner`; false as of {@link take}. */
  lend(server: PooledServer, owner: Owner): boolean {
    if (!this.take(server)) return false;
    this.#parts.servers.become(server, 'lent');
    this.lent(server, owner);
    return true;
  }

  /** As {@link lend}, for one that was lent to another session until now. */
  lent(server: PooledServer, owner: Owner): void {
    const { connection, left } = server;
    if (connection && left === 'sequences' && server.owner?.holder !== owner.holder)
      connection.sequencesOfOthers = 'present';
    this.#parts.isolation.lent(server, owner);
    this.#parts.servers.setSessionMode(server, owner.inSessionMode === true);
    server.uses += 1;
    this.returning = (server.lastFingerprint ?? owner.fingerprint) === owner.fingerprint;
    server.lastFingerprint = owner.fingerprint;
    server.pinned = undefined;
  }

  /** An idle one sent an unexpected message, or was closed. */
  unusable(server: PooledServer): void {
    server.unusable = true;
    this.close(server);
  }

  /** Resets one; afterwards it is kept, or closed. */
  reset(server: PooledServer, what: Reset = 'all'): void {
    this.#parts.servers.become(server, 'resetting');
    this.#parts.environment.reset(server, what);
  }

  /** A reset is over. */
  wasReset(server: PooledServer, done: boolean, what: Reset = 'all'): void {
    if (server.state !== 'resetting') return;
    if (!done) return this.close(server);
    server.left = 'nothing';
    if (what === 'all') {
      server.owner = undefined;
      server.applied = SessionSettings.none;
    }
    this.keep(server);
  }

  /** Closes one; it counts until the server has closed it. */
  close(server: PooledServer): void {
    if (!server.connection || server.state === 'closing') return;
    this.#parts.servers.become(server, 'closing');
    this.#parts.environment.close(server);
  }

  /** Closes all idle ones. */
  closeAll(): void {
    for (const server of this.#parts.servers.all('idle')) this.close(server);
  }
}

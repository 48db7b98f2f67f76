/** The server connections of one database entry: kept open, lent to one session at a time, reset between any two identities. */
import { setMaxListeners } from 'node:events';
import type { DatabaseOptions } from '../database.ts';
import { GatewayError } from '../errors.ts';
import type { Logger, Startup, Upstream } from '../session.ts';
import type { ServerConnection } from './connection.ts';
import type { Timeouts } from './open.ts';
import { handOver, isReady } from './pool/hand-over.ts';
import type { Picked } from './pool/hand-over.ts';
import { keyOf } from './pool/key.ts';
import { limitsOf } from './pool/limits.ts';
import type { Limits } from './pool/limits.ts';
import type { Clock } from './pool/clock.ts';
import { machineClock } from './pool/clock.ts';
import type { Circles, Holder, Member, Owner } from './pool/member.ts';
import { prepare } from './pool/prepare.ts';
import { Stock } from './pool/stock.ts';
import { wait } from './pool/wait.ts';
import type { Queued, Wanted } from './pool/wanted.ts';
import { asksForReplication } from './startup.ts';

/** What a pool is made for. */
export interface PoolSetup {
  /** The key of `databases`. */
  readonly entry: string;
  readonly database: DatabaseOptions;
  /** Default: those of {@link Timeouts}; `queueMs` and the like beat the entry's own. */
  readonly timeouts?: Timeouts & Partial<Limits>;
  /** Default: nothing is logged. */
  readonly log?: Logger;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

/** Who wants a connection. */
export interface AcquireRequest {
  /** The entry as it is now, where a function has made it anew. Default: the one the pool was made for. */
  readonly database?: DatabaseOptions;
  readonly upstream: Upstream;
  readonly startup: Startup;
  /** The client's `replication` parameter as it was given. */
  readonly replication?: string | undefined;
  /** Who it is for: equal for sessions that may see what the other left, which is never so for two people. */
  readonly fingerprint: string;
  /** The session itself, where it gives connections back between its transactions and may get them as it left them. */
  readonly holder?: Holder;
  /** Whose traces it may meet. Default: only those of its fingerprint. */
  readonly circles?: Circles;
  /** Aborted when the session ends; what waits for it then stops at once. */
  readonly signal: AbortSignal;
  readonly queued?: Queued | undefined;
}

/**
 * What a connection is like when it comes back. `clean`: idle, owes nothing, and no tag showed that state was left, so that
 * the same identity may have it as it is. `reusable`: idle and owes nothing. `close`: anything else.
 */
export type Condition = 'clean' | 'reusable' | 'close';

const GIVEN_BACK = Promise.resolve();

/** Every connection acquired has to be released once. */
export class Pool {
  readonly #limits: Limits;
  readonly #clock: Clock;
  readonly #stock: Stock;
  readonly #database: DatabaseOptions;
  /** Those that have been lent. */
  readonly #known = new WeakMap<ServerConnection, Member>();
  readonly #closing = new AbortController();

  constructor(setup: PoolSetup) {
    const { database, timeouts = {}, clock = machineClock } = setup;
    // Each connection that is being opened, reset or prepared listens: many at a time, and no leak.
    setMaxListeners(0, this.#closing.signal);
    this.#database = database;
    this.#clock = clock;
    this.#limits = { ...limitsOf(database.pool), ...timeouts };
    this.#stock = new Stock({ ...setup, limits: this.#limits, clock, closing: this.#closing.signal });
  }

  /** Most connections at once, without the reserve. */
  get limit(): number {
    return this.#limits.size;
  }

  /** Connections that exist now: in all states below, and those that the server has not closed yet. */
  get size(): number {
    return this.#stock.members.size;
  }

  /** Connections that wait for a session. */
  get idle(): number {
    return this.#stock.members.counts.idle;
  }

  /** Connections lent now, or about to be. */
  get lent(): number {
    return this.#stock.members.counts.lent;
  }

  /** Connections that are being opened. */
  get opening(): number {
    return this.#stock.members.counts.opening;
  }

  /** Connections that are being reset. */
  get resetting(): number {
    return this.#stock.members.counts.resetting;
  }

  /** Requests in the queue. */
  get waiting(): number {
    return this.#stock.turns.size;
  }

  /** Nothing would be lost if it were made anew. */
  get unused(): boolean {
    return this.size === 0 && this.waiting === 0 && !this.#stock.guarded;
  }

  /** Its connections and its queue, for operators who look at them, pause them or have them replaced. */
  get stock(): Stock {
    return this.#stock;
  }

  /** Why there is no server for a session now; undefined where there is one. */
  absence({ target = this.#stock.hosts.target }: Upstream): GatewayError | undefined {
    return this.#stock.hosts.absence(target);
  }

  /** Whether `min` counts: not where the entry has changed and nobody will come for what is kept. Default true. */
  keepWarm(is: boolean): void {
    this.#stock.upkeep.keepsWarm = is;
  }

  /**
   * A verified connection that carries nobody else's state and all settings of the session, identities taking turns.
   * @throws GatewayError `too_many_connections` when none became free in time, `cannot_connect_now` once the pool is
   * closing, what {@link open} throws, what settings of the session throw, or the signal's reason
   */
  async acquire(request: AcquireRequest): Promise<ServerConnection> {
    if (this.#closing.signal.aborted) throw shuttingDown();
    request.signal.throwIfAborted();
    const wanted = this.#wanted(request);
    const picked = this.#pick(wanted);
    const { connection } = picked?.member ?? {};
    if (picked && connection && isReady(picked)) {
      this.#known.set(connection, picked.member);
      return connection;
    }
    try {
      return await this.#lend(wanted, picked, request.signal);
    } catch (error) {
      throw this.#closing.signal.aborted && !request.signal.aborted ? shuttingDown() : error;
    }
  }

  /**
   * Lends a connection that `holder` has given back, as it was left, if nobody has had it since: nothing is sent and nothing
   * awaited. False: {@link Pool.acquire} finds another.
   */
  retake(connection: ServerConnection, holder: Holder): boolean {
    const member = this.#known.get(connection);
    return member !== undefined && !this.#closing.signal.aborted && this.#stock.retake(member, holder);
  }

  /**
   * Takes a connection back. Resolves when the server has closed it, or at once where it is kept: its reset goes on without
   * anybody waiting. Until it is closed it counts. Unknown connections are ignored.
   */
  release(connection: ServerConnection, how: Condition): Promise<void> {
    const member = this.#known.get(connection);
    return (member && this.#stock.putBack(member, how)) ?? GIVEN_BACK;
  }

  /** A lent connection's server took no write (25006): it may be a replica by now. */
  refusedWrite(connection: ServerConnection): void {
    const member = this.#known.get(connection);
    if (member) this.#stock.hosts.refusedWrite(member);
  }

  /** Closes what is idle, and what is lent when it comes back; resolves when no connection is left. Who comes is served. */
  retire(): Promise<void> {
    return this.#stock.retire();
  }

  /** Refuses whoever waits or comes, closes every connection, and resolves when none is left. */
  async close(): Promise<void> {
    this.#closing.abort(shuttingDown());
    await this.#stock.close();
  }

  #wanted(request: AcquireRequest): Wanted {
    const { upstream, replication, database = this.#database } = request;
    const key = keyOf(upstream, asksForReplication(replication), this.#stock.hosts.target);
    return { key, owner: ownerOf(request), request: { ...request, database } };
  }

  #prepared(member: Member, { request, owner }: Wanted): Picked {
    const prepared = prepare(member, request, owner, this.#closing.signal);
    if (prepared instanceof Promise) {
      member.busy = true;
      void prepared.then(() => (member.busy = false));
    }
    return { member, prepared };
  }

  #pick(wanted: Wanted): Picked | undefined {
    const member = this.#stock.pick(wanted.key, wanted.owner);
    return member && this.#prepared(member, wanted);
  }

  async #lend(wanted: Wanted, first: Picked | undefined, signal: AbortSignal): Promise<ServerConnection> {
    const until = this.#clock.now() + this.#limits.queueMs;
    for (let picked = first; ; picked = this.#pick(wanted)) {
      this.#closing.signal.throwIfAborted();
      const queue = { stock: this.#stock, clock: this.#clock, until, signal };
      picked ??= this.#prepared(await wait(wanted, queue), wanted);
      const connection = await handOver(picked, this.#stock, signal);
      if (connection) this.#known.set(connection, picked.member);
      if (connection) return connection;
    }
  }
}

function ownerOf({ fingerprint, holder, circles }: AcquireRequest): Owner {
  const own = { session: fingerprint, subject: fingerprint, tenant: fingerprint };
  return { fingerprint, holder, circles: circles ?? own };
}

function shuttingDown(): GatewayError {
  return new GatewayError('cannot_connect_now', 'the gateway is shutting down');
}

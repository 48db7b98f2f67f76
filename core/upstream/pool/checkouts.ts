/** Requests for connections: served at once, or queued until their time is over; prepares each connection for its session. */
import { GatewayError } from '../../contract/errors.ts';
import type { ServerConnection } from '../connection.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Clock } from '../clock.ts';
import type { Limits } from './limits.ts';
import type { Owner, Waiter } from './checkout-request.ts';
import type { PooledServer } from './pooled-servers.ts';
import type { PoolState } from './pool-state.ts';
import { prepare } from './session-preparation.ts';
import type { Prepared } from './session-preparation.ts';

/** The parts of the pool that check-outs use. */
export interface CheckOutParts {
  readonly limits: Pick<Limits, 'queueMs'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly state: PoolState;
  readonly hosts: Pick<Hosts, 'absence'>;
  /** Aborted when the pool closes; its reason is the error for requests. */
  readonly closing: AbortSignal;
  /** Hears of the first connection of each session, which is as a login leaves it. */
  readonly first: (server: PooledServer, waiter: Waiter) => void;
}

/** One per pool. */
export class Checkouts {
  readonly #parts: CheckOutParts;
  /** One timer for the whole queue: fires when the time of the first request is over. */
  #timer: NodeJS.Timeout | undefined;
  /** When it fires, by `performance.now()`. */
  #firesAt = Infinity;

  constructor(parts: CheckOutParts) {
    this.#parts = parts;
  }

  /** A connection that is ready for the session; undefined: its listener is called later. */
  checkOut(waiter: Waiter): ServerConnection | undefined {
    const { state, closing } = this.#parts;
    if (closing.aborted) return this.refused(waiter, closing.reason);
    const server = state.pick(waiter.key, waiter.owner);
    return server ? this.#prepare(waiter, server) : this.#queue(waiter);
  }

  /** Ends the request; its listener is not called. */
  cancel(waiter: Waiter, reason?: unknown): void {
    if (waiter.queued) this.#parts.state.leave(waiter);
    waiter.preparing = undefined;
    waiter.until = 0;
    dequeue(waiter, reason);
  }

  /** The pool state lends a connection to a request that was queued. */
  granted(waiter: Waiter, server: PooledServer): void {
    dequeue(waiter);
    const connection = this.#prepare(waiter, server);
    if (connection) waiter.listener.granted(connection);
  }

  /** There is no connection for a request. */
  refused(waiter: Waiter, error: unknown): undefined {
    const { closing } = this.#parts;
    const said: unknown = closing.aborted ? closing.reason : error;
    waiter.until = 0;
    dequeue(waiter, said);
    waiter.listener.refused(said);
  }

  /** Stops the timer. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#firesAt = Infinity;
  }

  #queue(waiter: Waiter): undefined {
    const { state, clock, limits } = this.#parts;
    waiter.since = clock.now();
    if (waiter.until === 0) waiter.until = performance.now() + limits.queueMs;
    waiter.queued = true;
    waiter.dequeued = waiter.request.queued?.();
    state.queue(waiter);
    if (waiter.queued) this.#keepTime(waiter.until);
  }

  /** A request that returns to the queue, because its connection was dead, has less time than those in front of it. */
  #keepTime(until: number): void {
    if (until >= this.#firesAt) return;
    clearTimeout(this.#timer);
    this.#firesAt = until;
    this.#timer = setTimeout(
      () => {
        this.#firesAt = Infinity;
        this.#refuseLate();
        for (const waiter of this.#parts.state.waiting.all()) this.#keepTime(waiter.until);
      },
      Math.max(1, until - performance.now()),
    ).unref();
  }

  #refuseLate(): void {
    const { state } = this.#parts;
    // A timer may fire a moment early.
    const now = performance.now() + 1;
    for (const waiter of state.waiting.all()) {
      if (!waiter.queued || waiter.until > now) continue;
      state.leave(waiter);
      this.refused(waiter, this.#absence(waiter) ?? tooLate(waiter.owner));
    }
  }

  /** Why a request cannot be served: there is no server for it, and no connection that could be checked in. */
  #absence({ key }: Waiter): Error | undefined {
    const { state, hosts } = this.#parts;
    const { idle, lent, resetting } = state.servers.ofKey(key);
    return idle + lent + resetting > 0 ? undefined : hosts.absence(key.target);
  }

  // ---- made ready ----

  /** Returns the connection where no message to the server is needed. */
  #prepare(waiter: Waiter, server: PooledServer): ServerConnection | undefined {
    waiter.preparing = server;
    server.busy = true;
    const told = (late: Prepared): void => this.#preparedLater(waiter, server, late);
    const outcome = prepare(server, waiter.request, waiter.owner, this.#parts.closing, told);
    if (!outcome) return undefined;
    waiter.preparing = undefined;
    server.busy = false;
    return this.#prepared(waiter, server, outcome);
  }

  #preparedLater(waiter: Waiter, server: PooledServer, outcome: Prepared): void {
    server.busy = false;
    // The session has ended meanwhile; stopping then would have left half a message exchange.
    if (waiter.preparing !== server) return this.#parts.state.checkIn(server, fitness(outcome));
    waiter.preparing = undefined;
    const connection = this.#prepared(waiter, server, outcome);
    if (connection) waiter.listener.granted(connection);
  }

  #prepared(waiter: Waiter, server: PooledServer, outcome: Prepared): ServerConnection | undefined {
    if (outcome.kind === 'ready') {
      waiter.until = 0;
      if (waiter.request.follows === undefined) this.#parts.first(server, waiter);
      return server.connection;
    }
    const { state } = this.#parts;
    state.checkIn(server, fitness(outcome));
    // The connection is new: another one would fail in the same way.
    if (outcome.kind === 'refused' || server.uses === 1) return this.refused(waiter, outcome.error);
    return this.checkOut(waiter);
  }
}

const fitness = (outcome: Prepared): 'clean' | 'dirty' | 'close' =>
  outcome.kind === 'ready' ? 'dirty' : outcome.server;

function dequeue(waiter: Waiter, error?: unknown): void {
  const { dequeued } = waiter;
  waiter.queued = false;
  waiter.dequeued = undefined;
  dequeued?.(error);
}

/** The refusal of a request that was not served in time. */
export function tooLate({ inSessionMode }: Pick<Owner, 'inSessionMode'>): GatewayError {
  const hint =
    'The pool has few connections for session mode (pool.mostSessions): end one, or connect without postern.pool.';
  const more = inSessionMode === true ? { hint } : {};
  return new GatewayError('too_many_connections', 'no connection to the database became free in time', more);
}

/** Requests for connections: served at once, or in the queue until their time is over; and made ready for their session. */
import { GatewayError } from '../../errors.ts';
import type { ServerConnection } from '../connection.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Clock } from './clock.ts';
import type { Limits } from './limits.ts';
import type { Member } from './member.ts';
import type { PoolState } from './pool-state.ts';
import { prepare } from './prepare.ts';
import type { Prepared } from './prepare.ts';
import type { Waiter } from './wanted.ts';

/** What check-outs need. */
export interface CheckOutParts {
  readonly limits: Pick<Limits, 'queueMs'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly state: PoolState;
  readonly hosts: Pick<Hosts, 'absence'>;
  /** Aborted with what is said then when the pool ends. */
  readonly closing: AbortSignal;
}

/** One per pool. */
export class CheckOuts {
  readonly #parts: CheckOutParts;
  /** One for the whole queue: until the first request's time is over. */
  #timer: NodeJS.Timeout | undefined;
  /** When it fires, by `performance.now()`. */
  #firesAt = Infinity;

  constructor(parts: CheckOutParts) {
    this.#parts = parts;
  }

  /** A connection that is ready for the session; undefined: its listener hears. */
  checkOut(waiter: Waiter): ServerConnection | undefined {
    const { state, closing } = this.#parts;
    if (closing.aborted) return this.refused(waiter, closing.reason);
    const member = state.pick(waiter.key, waiter.owner);
    return member ? this.#prepare(waiter, member) : this.#queue(waiter);
  }

  /** Nothing is wanted any more, and the listener hears nothing. */
  cancel(waiter: Waiter, reason?: unknown): void {
    if (waiter.queued) this.#parts.state.leave(waiter);
    waiter.preparing = undefined;
    waiter.until = 0;
    dequeue(waiter, reason);
  }

  /** The state of the pool lends a connection to a request that was in the queue. */
  granted(waiter: Waiter, member: Member): void {
    dequeue(waiter);
    const connection = this.#prepare(waiter, member);
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

  /** No time is kept any more. */
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

  /** Whoever comes back to the queue, because its connection was dead, has less time than those in front of it. */
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
      this.refused(waiter, this.#absence(waiter) ?? tooLate());
    }
  }

  /** Why a request waits in vain: there is no server for it, nor a connection that could come back. */
  #absence({ key }: Waiter): Error | undefined {
    const { state, hosts } = this.#parts;
    const { idle, lent, resetting } = state.members.ofKey(key);
    return idle + lent + resetting > 0 ? undefined : hosts.absence(key.target);
  }

  // ---- made ready ----

  /** At once where the server need not be asked. */
  #prepare(waiter: Waiter, member: Member): ServerConnection | undefined {
    const prepared = prepare(member, waiter.request, waiter.owner, this.#parts.closing);
    if (!(prepared instanceof Promise)) return this.#prepared(waiter, member, prepared);
    waiter.preparing = member;
    member.busy = true;
    void prepared.then((outcome) => {
      member.busy = false;
      // Half a message exchange would have been left: it went on when the session ended.
      if (waiter.preparing !== member) return this.#parts.state.checkIn(member, fitness(outcome));
      waiter.preparing = undefined;
      const connection = this.#prepared(waiter, member, outcome);
      if (connection) waiter.listener.granted(connection);
    });
    return undefined;
  }

  #prepared(waiter: Waiter, member: Member, outcome: Prepared): ServerConnection | undefined {
    if (outcome.kind === 'ready') {
      waiter.until = 0;
      return member.connection;
    }
    const { state } = this.#parts;
    state.checkIn(member, fitness(outcome));
    // A connection made just now is no leftover: another one would end in the same way.
    if (outcome.kind === 'refused' || member.uses === 1) return this.refused(waiter, outcome.error);
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

const tooLate = (): GatewayError =>
  new GatewayError('too_many_connections', 'no connection to the database became free in time');

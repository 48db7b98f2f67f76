/** Opens connections: a few at a time, with pauses where the server refuses the login. */
import type { Logger } from '../../session.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Place } from '../hosts/place.ts';
import { open } from '../open.ts';
import type { Timeouts } from '../open.ts';
import { unreachable } from '../refusals.ts';
import { Breaker } from './breaker.ts';
import type { Clock } from './clock.ts';
import type { Limits } from './limits.ts';
import type { Member } from './member.ts';
import type { Members } from './members.ts';
import { Pace } from './pace.ts';
import type { Waiter, Wanted } from './wanted.ts';

/** The request for which a connection is being opened, and its start by the clock. */
export interface Attempt {
  readonly wanted: Wanted;
  readonly startedAt: number;
}

/** A failure that took so long, in milliseconds, would take as long again for requests that came meanwhile. */
const SLOW_MS = 1_000;

/** Whether the failure of an attempt applies to a queued request too: one that came before its start, or during a slow failure. */
export function speaksFor({ wanted, startedAt }: Attempt, waiter: Waiter, now: number): boolean {
  return wanted.key.text === waiter.key.text && (waiter.since <= startedAt || now - startedAt >= SLOW_MS);
}

/** The parts of the pool that openings use, and the callbacks for their results. */
export interface OpeningParts {
  readonly entry: string;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly timeouts?: Timeouts | undefined;
  readonly log?: Logger | undefined;
  readonly members: Members;
  readonly hosts: Hosts;
  /** The member has its connection. */
  opened(member: Member, attempt: Attempt): void;
  /** Another opening may begin: there were too many, or the server was down. */
  ready(): void;
  /** The member has been removed. */
  failed(attempt: Attempt, error: unknown): void;
  /** The member has been removed, and its request may be served by another server. */
  postponed(): void;
}

/** How far lifetimes differ, so that connections opened together do not end together: ±10 %. */
const JITTER = 0.1;

/** One per pool. */
export class Openings {
  /** True: no opening begins until an operator resumes the pool. */
  paused = false;
  readonly #parts: OpeningParts;
  readonly #breaker: Breaker;
  readonly #pace: Pace;
  readonly #stops = new Map<AbortController, Member>();

  constructor(parts: OpeningParts) {
    this.#parts = parts;
    this.#breaker = new Breaker(parts);
    this.#pace = new Pace({ ...parts, rate: parts.limits.connectRate, ready: () => parts.ready() });
  }

  /** No other opening may begin now. */
  get busy(): boolean {
    return this.paused || this.#stops.size >= this.#parts.limits.connecting || !this.#pace.open;
  }

  /** The login of a role is paused. */
  get guarded(): boolean {
    return this.#breaker.open;
  }

  /** Why none may be opened for a role now. */
  refusal(role: string): Error | undefined {
    return this.#breaker.refusal(role);
  }

  /**
   * Begins an opening; false if there is no suitable server. It continues when its session ends, for the next session, unless
   * the connection can serve only that one.
   */
  begin(wanted: Wanted): boolean {
    const place = this.#parts.hosts.choose(wanted);
    if (place) this.#begin(wanted, place);
    return place !== undefined;
  }

  #begin(wanted: Wanted, place: Place): void {
    const { limits, clock, members, hosts } = this.#parts;
    const { key, request } = wanted;
    const startedAt = clock.now();
    const lifetimeMs = limits.lifetimeMs * (1 - JITTER + 2 * JITTER * Math.random());
    const member = members.add(key, startedAt + lifetimeMs);
    member.place = place;
    const stop = new AbortController();
    const leave = (): void => stop.abort(request.signal.reason);
    if (!key.pooled) request.signal.addEventListener('abort', leave);
    this.#stops.set(stop, member);
    const trial = this.#breaker.begin(key.role);
    this.#pace.began();
    const { entry, timeouts } = this.#parts;
    const ended = (): void => {
      this.#stops.delete(stop);
      if (!key.pooled) request.signal.removeEventListener('abort', leave);
    };
    const how = { place, looks: place.address !== undefined, readOnly: key.target === 'replica' };
    const { shows } = trial;
    open({ ...request, ...how, entry, timeouts, shows, signal: stop.signal })
      .then((connection) => hosts.opened(place, connection, wanted))
      .then(
        (connection) => {
          ended();
          member.connection = connection;
          member.reported = new Map(connection.parameters);
          trial.succeeded();
          this.#pace.succeeded();
          this.#parts.opened(member, { wanted, startedAt });
        },
        (error: unknown) => {
          ended();
          members.remove(member);
          trial.failed(error);
          // Another server may serve the request; this one is not tried for a while.
          if (hosts.failed(place, error, wanted)) return this.#parts.postponed();
          if (!stop.signal.aborted) this.#pace.failed(error);
          this.#parts.failed({ wanted, startedAt }, error);
        },
      );
  }

  /** Stops openings whose server does not suit any more. */
  review(): void {
    for (const [stop, member] of this.#stops) {
      if (!this.#parts.hosts.fits(member))
        stop.abort(unreachable(new Error('the server has become another')));
    }
  }

  /** Ends all of them with `reason`. */
  stop(reason: unknown): void {
    this.#pace.stop();
    for (const stop of this.#stops.keys()) stop.abort(reason);
  }
}

/** Opens connections: few at a time, and not again and again where the server refuses who the gateway is. */
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

/** For whom a connection was begun, and when by the clock. */
export interface Attempt {
  readonly wanted: Wanted;
  readonly startedAt: number;
}

/** A failure that took so long, in milliseconds, would take as long again for who has come meanwhile. */
const SLOW_MS = 1_000;

/** Whether the failure of an attempt is that of somebody in the queue too: who came before it began, or while it dragged on. */
export function speaksFor({ wanted, startedAt }: Attempt, waiter: Waiter, now: number): boolean {
  return wanted.key.text === waiter.key.text && (waiter.since <= startedAt || now - startedAt >= SLOW_MS);
}

/** What openings need, and who hears how they end. */
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
  /** One may be begun again: too many had been, or the server was not there. */
  ready(): void;
  /** The member is forgotten. */
  failed(attempt: Attempt, error: unknown): void;
  /** It is forgotten, and who waits for it may wait for another server. */
  postponed(): void;
}

/** How far lifetimes differ, so that connections opened together do not end together: ±10 %. */
const JITTER = 0.1;

/** One per pool. */
export class Openings {
  /** True: none is begun until an operator lets the pool go on. */
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

  /** No more may be opened now. */
  get busy(): boolean {
    return this.paused || this.#stops.size >= this.#parts.limits.connecting || !this.#pace.open;
  }

  /** Some role's login is not tried for a while. */
  get guarded(): boolean {
    return this.#breaker.open;
  }

  /** Why none may be opened for a role now. */
  refusal(role: string): Error | undefined {
    return this.#breaker.refusal(role);
  }

  /**
   * Begins one, unless no server suits: false then. It goes on when the session it is for leaves, for the next one; but not
   * where it serves only that one.
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
      request.signal.removeEventListener('abort', leave);
    };
    const how = { place, looks: place.address !== undefined, readOnly: key.target === 'replica' };
    const { shows } = trial;
    open({ ...request, ...how, entry, timeouts, shows, signal: stop.signal })
      .then((connection) => hosts.opened(place, connection, wanted))
      .then(
        (connection) => {
          ended();
          member.connection = connection;
          trial.succeeded();
          this.#pace.succeeded();
          this.#parts.opened(member, { wanted, startedAt });
        },
        (error: unknown) => {
          ended();
          members.remove(member);
          trial.failed(error);
          // Another server may be there, and this one is left alone for a while.
          if (hosts.failed(place, error, wanted)) return this.#parts.postponed();
          if (!stop.signal.aborted) this.#pace.failed(error);
          this.#parts.failed({ wanted, startedAt }, error);
        },
      );
  }

  /** Gives up those whose server does not suit any more. */
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

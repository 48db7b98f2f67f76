/** What holds for tokens once the store of the fleet has been away for so long that revocations of other instances may be missing. */
import { GatewayError } from '../../core/index.ts';
import type { Fleet, GatewayHandle, Session } from '../../core/index.ts';
import { sessionEnds } from './session-ends.ts';
import type { SessionEnds } from './session-ends.ts';

/** What is asked of a session here. */
export type SessionOfToken = Pick<Session, 'end' | 'defer'>;

const ENDED = new GatewayError(
  'admin_shutdown',
  'it cannot be found out whether the token has been revoked',
  {
    hint: 'Connect again in a moment.',
  },
);

/** One per worker; outlives reloads. As `fleet.away.revocations` says. */
export class StaleFleet {
  readonly #fleet: Fleet;
  readonly #log: GatewayHandle['log'];
  readonly #ends: SessionEnds;
  /** Those that end once it is stale. */
  readonly #sessions = new Set<SessionOfToken>();
  #users = 0;
  #unwatch: (() => void) | undefined;

  constructor(fleet: Fleet, gateway: Pick<GatewayHandle, 'log' | 'keep'>) {
    this.#fleet = fleet;
    this.#log = gateway.log;
    this.#ends = sessionEnds(gateway);
  }

  /** Why no token is good enough now; undefined while they are. */
  get problem(): string | undefined {
    const { away, isStale, staleSince } = this.#fleet;
    if (!isStale || away.revocations === 'goOn') return undefined;
    const since = staleSince === undefined ? 'yet' : `since ${new Date(staleSince).toISOString()}`;
    return `the store of the fleet has not answered ${since}: revocations may be missing`;
  }

  /** Ends sessions where they have to, until all users have called the function that it returns. */
  open(): () => void {
    if (this.#users++ === 0) this.#unwatch = this.#fleet.watch(() => this.#endAll());
    return () => {
      if (--this.#users === 0) this.#unwatch?.();
    };
  }

  /** A session begins, or goes on, by a token that has been verified. @throws GatewayError `cannot_connect_now` while that is not enough */
  admit(session: SessionOfToken, hint = 'Try again in a moment.'): void {
    const { problem } = this;
    if (problem !== undefined)
      throw new GatewayError('cannot_connect_now', 'tokens cannot be verified at the moment', {
        hint,
        cause: new Error(problem),
      });
    if (this.#fleet.away.revocations !== 'end' || this.#sessions.has(session)) return;
    this.#sessions.add(session);
    session.defer(() => void this.#sessions.delete(session));
  }

  #endAll(): void {
    const { away, isStale } = this.#fleet;
    if (!isStale || away.revocations !== 'end' || this.#sessions.size === 0) return;
    this.#log.warn({ reason: this.problem, sessions: this.#sessions.size }, 'sessions by tokens end');
    this.#ends.end(this.#sessions, ENDED);
    this.#sessions.clear();
  }
}

/** Undefined without a fleet. */
export function staleFleet(gateway: GatewayHandle): StaleFleet | undefined {
  const { fleet } = gateway;
  return fleet && gateway.keep('sessions by tokens', () => new StaleFleet(fleet, gateway));
}

/** Opens connections: a few at a time, at a limited rate, and with pauses where the server refuses the login or is down. */
import { GatewayError } from '../../contract/errors.ts';
import type { Logger } from '../../contract/session.ts';
import type { Clock } from '../clock.ts';
import { ConnectRate } from '../connect-rate.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Endpoint } from '../hosts/endpoint.ts';
import { LoginBackoff } from '../login-backoff.ts';
import type { RefusedRoles } from '../login-backoff.ts';
import { open } from '../open.ts';
import type { Timeouts } from '../open.ts';
import { unreachable } from '../refusals.ts';
import type { Limits } from './limits.ts';
import type { CheckoutRequest, Waiter } from './checkout-request.ts';
import type { ConnectionSlot } from './connection-slots.ts';
import type { PooledServer, PooledServers } from './pooled-servers.ts';
import type { SlotWants } from './slot-wants.ts';

/** The request for which a connection is being opened, and its start by the clock. */
export interface Attempt {
  readonly checkout: CheckoutRequest;
  readonly startedAt: number;
}

/** A failure that took so long, in milliseconds, would take as long again for requests that came meanwhile. */
const SLOW_MS = 1_000;

/** Whether the failure of an attempt applies to a queued request too: one that came before its start, or during a slow failure. */
export function speaksFor({ checkout, startedAt }: Attempt, waiter: Waiter, now: number): boolean {
  return checkout.key.text === waiter.key.text && (waiter.since <= startedAt || now - startedAt >= SLOW_MS);
}

/** The parts of the pool that the connector uses, and the callbacks for their results. */
interface ConnectorParts {
  readonly entry: string;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly timeouts?: Timeouts | undefined;
  readonly log?: Logger | undefined;
  readonly servers: PooledServers;
  readonly hosts: Hosts;
  /** Undefined: only this process opens connections for the entry. */
  readonly slots: SlotWants | undefined;
  /** See {@link LoginBackoffParts}. */
  readonly refusedRoles?: RefusedRoles | undefined;
  /** The server has its connection. */
  opened(server: PooledServer, attempt: Attempt): void;
  /** Another opening may begin: there were too many, or the server was down. */
  ready(): void;
  /** The server has been removed. */
  failed(attempt: Attempt, error: unknown): void;
  /** The server has been removed, and its request may be served by another server. */
  postponed(): void;
}

/**
 * The server has no room for one more connection. Of a replication connection that may be its walsenders (`max_wal_senders`), which says nothing of
 * others: PostgreSQL has one SQLSTATE for both.
 */
const full = (error: unknown): boolean =>
  error instanceof GatewayError && error.code === 'too_many_connections';

/** How far lifetimes differ, so that connections opened together do not end together: ±10 %. */
const JITTER = 0.1;

/** Opens connections: a few at a time, with pauses where the server refuses the login. One per pool. */
export class Connector {
  /** True: no opening begins until an operator resumes the pool. */
  paused = false;
  readonly #parts: ConnectorParts;
  readonly #loginBackoff: LoginBackoff;
  readonly #connectRate: ConnectRate;
  readonly #stops = new Map<AbortController, PooledServer>();

  constructor(parts: ConnectorParts) {
    this.#parts = parts;
    this.#loginBackoff = new LoginBackoff(parts);
    this.#connectRate = new ConnectRate({
      ...parts,
      rate: parts.limits.connectRate,
      ready: () => parts.ready(),
    });
  }

  /** No other opening may begin now. */
  get busy(): boolean {
    return this.paused || this.#stops.size >= this.#parts.limits.connecting || !this.#connectRate.open;
  }

  /** The login of a role is paused. */
  get guarded(): boolean {
    return this.#loginBackoff.open;
  }

  /** Why none may be opened for a role now. */
  refusal(role: string): Error | undefined {
    return this.#loginBackoff.refusal(role);
  }

  /**
   * Begins an opening; false if there is no suitable server, or no slot. It continues when its session ends, for the next session, unless
   * the connection can serve only that one.
   */
  begin(checkout: CheckoutRequest): boolean {
    const { slots, hosts } = this.#parts;
    const slot = slots?.take(checkout.key.role);
    if (slots && !slot) return false;
    const endpoint = hosts.choose(checkout);
    if (endpoint) this.#begin(checkout, endpoint, slot);
    else slot?.unused();
    return endpoint !== undefined;
  }

  #begin(checkout: CheckoutRequest, endpoint: Endpoint, slot: ConnectionSlot | undefined): void {
    const { limits, clock, servers, hosts } = this.#parts;
    const { key, request } = checkout;
    const startedAt = clock.now();
    const lifetimeMs = limits.lifetimeMs * (1 - JITTER + 2 * JITTER * Math.random());
    const server = servers.add(key, startedAt + lifetimeMs);
    server.endpoint = endpoint;
    server.slot = slot;
    const stop = new AbortController();
    const leave = (): void => stop.abort(request.signal.reason);
    if (!key.pooled) request.signal.addEventListener('abort', leave);
    this.#stops.set(stop, server);
    const loginAttempt = this.#loginBackoff.begin(key.role);
    this.#connectRate.began();
    const { entry, timeouts } = this.#parts;
    const ended = (): void => {
      this.#stops.delete(stop);
      if (!key.pooled) request.signal.removeEventListener('abort', leave);
    };
    const how = { endpoint, probes: endpoint.address !== undefined, readOnly: key.target === 'replica' };
    const { shows } = loginAttempt;
    open({ ...request, ...how, entry, timeouts, shows, signal: stop.signal })
      .then((connection) => hosts.opened(endpoint, connection, checkout))
      .then(
        (connection) => {
          ended();
          server.connection = connection;
          server.readyAt = clock.now();
          slot?.opened(connection.process);
          server.reported = new Map(connection.parameters);
          loginAttempt.succeeded();
          this.#connectRate.succeeded();
          this.#parts.opened(server, { checkout, startedAt });
        },
        (error: unknown) => {
          ended();
          // Before its slot is free: no other worker may try before it knows.
          loginAttempt.failed(error);
          server.slot = undefined;
          servers.remove(server);
          const concerns = !stop.signal.aborted && !(full(error) && !key.pooled);
          // Another server may serve the request; this one is not tried for a while.
          const isPostponed = hosts.failed(endpoint, error, checkout);
          if (!isPostponed && concerns && this.#connectRate.failed(error)) slot?.down();
          slot?.gone();
          if (isPostponed) return this.#parts.postponed();
          this.#parts.failed({ checkout, startedAt }, error);
        },
      );
  }

  /** Stops openings whose server does not suit any more. */
  review(): void {
    for (const [stop, server] of this.#stops) {
      if (!this.#parts.hosts.fits(server))
        stop.abort(unreachable(new Error('the server has become another')));
    }
  }

  /** Ends all of them with `reason`. */
  stop(reason: unknown): void {
    this.#connectRate.stop();
    for (const stop of this.#stops.keys()) stop.abort(reason);
  }
}

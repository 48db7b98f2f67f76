/** A health check for each address of an entry's hosts, while the entry is in use. */
import type { DatabaseOptions, HostAddress } from '../../contract/database.ts';
import type { Upstream } from '../../contract/session.ts';
import type { Clock } from '../clock.ts';
import { open } from '../open.ts';
import type { Timeouts } from '../open.ts';
import type { ServerConnection } from '../connection.ts';
import { NameResolution } from './name-resolution.ts';
import type { Endpoint } from './endpoint.ts';
import type { HealthCheckResult, HostEntry, HostStatus } from './host-status.ts';
import { CHECK_MS, HealthCheck } from './health-check.ts';
import type { NextCheck } from './health-check.ts';

/** The login that is used for looking: that of a session. */
export interface ProbeLogin {
  readonly database: DatabaseOptions;
  readonly upstream: Upstream;
}

/** The options of health checks, and the callback for results. */
export interface HealthChecksParts {
  /** The key of `databases`. */
  readonly entry: string;
  readonly hosts: readonly Required<HostAddress>[];
  readonly hostStatus: HostStatus;
  readonly clock: Pick<Clock, 'now'>;
  readonly timeouts?: Timeouts | undefined;
  /** Gets each result; returns when to check that endpoint again. */
  readonly told: (entry: HostEntry, result: HealthCheckResult) => NextCheck;
  /** The number of connections to an endpoint: one that has any is not removed. */
  readonly load: (endpoint: Endpoint) => number;
}

/** How long an endpoint is still checked after its name has stopped resolving to it, in milliseconds. */
const LINGER_MS = 60_000;
const OVER: NextCheck = { ms: 0 };
const NO_STARTUP = { user: '', database: '', parameters: {} };

/** One per pool. */
export class HealthChecks {
  readonly #parts: HealthChecksParts;
  readonly #names: NameResolution;
  readonly #healthChecks = new Map<HostEntry, HealthCheck>();
  readonly #listed = new Map<HostEntry, number>();
  readonly #lost = new Map<Required<HostAddress>, unknown>();
  #probeLogin: ProbeLogin | undefined;

  constructor(parts: HealthChecksParts) {
    this.#parts = parts;
    this.#names = new NameResolution({
      hosts: parts.hosts,
      found: (host, endpoints) => this.#found(host, endpoints),
      lost: (host, error) => void this.#lost.set(host, error),
    });
  }

  /** The errors of names that do not resolve. */
  get lost(): readonly unknown[] {
    return [...this.#lost.values()];
  }

  /** Starts the checks, with the login of a request; without effect where they run already. */
  start(probeLogin: ProbeLogin): void {
    this.#probeLogin ??= probeLogin;
    for (const entry of this.#parts.hostStatus.all) this.#send(entry);
    this.#names.start();
  }

  /** Continues with a login that has just been accepted. */
  continueAs(probeLogin: ProbeLogin): void {
    this.#probeLogin = probeLogin;
    this.hurry(0);
  }

  /** Checks again, except endpoints that were checked within the last `ms` milliseconds. */
  hurry(ms: number): void {
    for (const healthCheck of this.#healthChecks.values()) healthCheck.hurry(ms);
  }

  /** Checks an endpoint now, over a new connection. */
  renew(entry: HostEntry): void {
    this.#healthChecks.get(entry)?.renew();
  }

  /** Stops the checks until the next start. */
  rest(): void {
    this.#names.stop();
    for (const healthCheck of this.#healthChecks.values()) healthCheck.stop();
    this.#healthChecks.clear();
    this.#probeLogin = undefined;
    this.#parts.hostStatus.expire();
  }

  #found(host: Required<HostAddress>, endpoints: readonly Endpoint[]): void {
    const { clock, hostStatus, load } = this.#parts;
    const now = clock.now();
    this.#lost.delete(host);
    for (const endpoint of endpoints) {
      const entry = hostStatus.meet(endpoint);
      this.#listed.set(entry, now);
      this.#send(entry);
    }
    for (const [entry, at] of this.#listed) {
      if (entry.endpoint.host !== host.host || now - at < LINGER_MS || load(entry.endpoint) > 0) continue;
      this.#healthChecks.get(entry)?.stop();
      this.#healthChecks.delete(entry);
      this.#listed.delete(entry);
      hostStatus.forget(entry);
    }
  }

  #send(entry: HostEntry): void {
    if (this.#healthChecks.has(entry)) return;
    const healthCheck: HealthCheck = new HealthCheck({
      open: (signal) => this.#logIn(entry.endpoint, signal),
      // The result of a stopped health check is outdated.
      told: (result) =>
        this.#healthChecks.get(entry) === healthCheck ? this.#parts.told(entry, result) : OVER,
    });
    this.#healthChecks.set(entry, healthCheck);
  }

  /** With the role of a session, and without the settings of plugins. */
  #logIn(endpoint: Endpoint, signal: AbortSignal): Promise<ServerConnection> {
    if (!this.#probeLogin) return Promise.reject(new Error('no session has asked for the database'));
    const { database, upstream } = this.#probeLogin;
    const { entry, timeouts = {} } = this.#parts;
    const connectMs = Math.min(CHECK_MS, timeouts.connectMs ?? CHECK_MS);
    const plain = { ...upstream, settings: {}, schemas: [], onCheckout: [] };
    return open({
      entry,
      database,
      upstream: plain,
      startup: NO_STARTUP,
      endpoint,
      probes: true,
      signal,
      timeouts: { ...timeouts, connectMs, loginMs: CHECK_MS },
    });
  }
}

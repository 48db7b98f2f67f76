/** The servers of one entry: checked while the entry is in use, so that each connection goes to a suitable server. */
import { hostsOf, targetOf } from '../../contract/database.ts';
import type { DatabaseOptions } from '../../contract/database.ts';
import { GatewayError } from '../../contract/errors.ts';
import type { Logger } from '../../contract/session.ts';
import type { Target } from '../../contract/target.ts';
import type { ServerConnection } from '../connection.ts';
import type { Timeouts } from '../open.ts';
import type { Clock } from '../clock.ts';
import { innermost, unreachable } from '../refusals.ts';
import { HealthChecks } from './health-checks.ts';
import type { ProbeLogin } from './health-checks.ts';
import { SingleHost } from './single-host.ts';
import { describeEndpoint } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import { differs, HostStatus } from './host-status.ts';
import type { HostEntry, HealthCheckResult, ServerState } from './host-status.ts';
import type { NextCheck } from './health-check.ts';

/** The options of hosts, and the callbacks for changes. */
export interface HostsParts {
  /** The key of `databases`. */
  readonly entry: string;
  readonly database: DatabaseOptions;
  readonly clock: Clock;
  readonly log?: Logger | undefined;
  readonly timeouts?: Timeouts | undefined;
  /** A session has or requests a connection. */
  readonly inUse: () => boolean;
  /** A request is queued. */
  readonly waiting: () => boolean;
  /** The number of connections to an endpoint. */
  readonly load: (endpoint: Endpoint) => number;
  /** The result of {@link Hosts.choose} or {@link Hosts.fits} may be another now. */
  readonly changed: () => void;
}

/** A request for a connection, as far as the choice of its server depends on it. */
export interface HostRequest {
  readonly key: { readonly target: Target };
  readonly request: ProbeLogin;
}

/** A connection, as far as it matters whether its server suits. */
export interface HostedConnection {
  readonly key: { readonly target: Target };
  readonly endpoint: Endpoint | undefined;
  readonly connection: Pick<ServerConnection, 'parameters' | 'serverStatus'> | undefined;
}

/** Between two checks, the same while a request waits for a server, and after a refusal of the role that checks, in milliseconds. */
const [CALM_MS, URGENT_MS, REFUSED_MS] = [1_000, 250, 30_000];
/** How long servers are still checked after the last use, in milliseconds. */
const LINGER_MS = 60_000;

/** Errors of an opening after which another server may be tried. */
const ELSEWHERE = [
  'sqlclient_unable_to_establish_sqlconnection',
  'cannot_connect_now',
  'admin_shutdown',
  'crash_shutdown',
];

/** One per pool. Checks nothing where there is no choice: one host, and target `any`. */
export class Hosts {
  /** The target of sessions without one of their own. */
  readonly target: Target;
  readonly #parts: HostsParts;
  readonly #single: SingleHost | undefined;
  readonly #hostStatus: HostStatus;
  readonly #healthChecks: HealthChecks;
  readonly #states = new Map<HostEntry, ServerState>();
  #usedAt = 0;
  #urgent = false;

  constructor(parts: HostsParts) {
    const hosts = hostsOf(parts.database);
    this.#parts = parts;
    this.target = targetOf(parts.database);
    const [first] = hosts;
    this.#single = first && hosts.length === 1 ? new SingleHost(first, parts.clock) : undefined;
    this.#hostStatus = new HostStatus(parts.clock);
    const told = (entry: HostEntry, result: HealthCheckResult): NextCheck => this.#hear(entry, result);
    this.#healthChecks = new HealthChecks({ ...parts, hosts, hostStatus: this.#hostStatus, told });
  }

  /** Each server that is checked, and its state. */
  get states(): readonly { readonly endpoint: Endpoint; readonly state: ServerState }[] {
    return this.#hostStatus.all.map((entry) => ({
      endpoint: entry.endpoint,
      state: this.#hostStatus.stateOf(entry),
    }));
  }

  /** The server for a new connection; undefined if there is none now: `changed` is called when that may be different. */
  choose({ key, request }: HostRequest): Endpoint | undefined {
    if (this.#trivial(key.target)) return this.#single?.endpoint;
    this.#usedAt = this.#parts.clock.now();
    this.#healthChecks.start(request);
    const chosen = this.#hostStatus.choose(key.target, this.#parts.load);
    this.#urgent = !chosen;
    if (chosen) this.#hostStatus.began(chosen);
    else this.#healthChecks.hurry(URGENT_MS);
    return chosen?.endpoint;
  }

  /** Why there is no server for a target now; undefined where there is one. */
  absence(target: Target): GatewayError | undefined {
    if (this.#trivial(target) || this.#hostStatus.choose(target, this.#parts.load)) return undefined;
    const known = this.states
      .map(({ endpoint, state }) => `${describeEndpoint(endpoint)} is ${state}`)
      .join(', ');
    const [why] = [...this.#healthChecks.lost, ...this.#hostStatus.all.map(errorOf)].filter(
      (one) => one !== undefined,
    );
    const cause = new Error(known || 'no host has an address', { cause: why });
    const reached = this.states.some(({ state }) => state !== 'down' && state !== 'pending');
    if (!reached || this.#hostStatus.suiting(target).length > 0) return unreachable(cause);
    return lacking(target, cause);
  }

  /** Whether a connection's server still suits. */
  fits({ key, endpoint, connection }: HostedConnection): boolean {
    if (this.#single && this.#trivial(key.target)) return this.#single.fits(endpoint, connection);
    const entry = endpoint?.address && this.#hostStatus.of(endpoint);
    if (!entry) return true;
    // Version 14 and newer report it with the answer to a statement: often before the next look.
    const recovering = connection?.parameters.get('in_hot_standby');
    if (recovering === 'on' && key.target === 'primary') return false;
    if (recovering === 'off' && key.target === 'replica') return false;
    return this.#hostStatus.fits(entry, key.target, connection?.serverStatus);
  }

  /** Whether even a session must not go on using a connection: its server has the wrong status, or was superseded. */
  wrong(hosted: HostedConnection): boolean {
    const entry = hosted.endpoint && this.#hostStatus.of(hosted.endpoint);
    if (!entry) return false;
    const state = this.#hostStatus.stateOf(entry, hosted.connection?.serverStatus);
    if (state === 'superseded') return true;
    const { target } = hosted.key;
    return (target === 'primary' || target === 'replica') && state !== 'down' && !this.fits(hosted);
  }

  /**
   * Stores the server's status at an opening; returns the connection.
   * @throws GatewayError `cannot_connect_now`, and closes it, where its server's status is another than expected
   */
  opened(endpoint: Endpoint, connection: ServerConnection, { key, request }: HostRequest): ServerConnection {
    const entry = this.#hostStatus.of(endpoint);
    if (!entry) this.#single?.opened(connection);
    if (!entry) return connection;
    this.#hostStatus.succeeded(entry);
    if (entry.result?.kind === 'refused') this.#healthChecks.continueAs(request);
    const { serverStatus } = connection;
    // The server that is checked is another one, and so are the servers of older connections.
    if (serverStatus && differs(serverStatus, entry.serverStatus)) this.#healthChecks.renew(entry);
    if (serverStatus) this.#take(entry, { kind: 'status', serverStatus });
    if (this.fits({ key, endpoint, connection })) return connection;
    connection.close();
    throw (
      this.absence(key.target) ??
      lacking(key.target, new Error(`${describeEndpoint(endpoint)} has become another`))
    );
  }

  /** A connection's server refused a write (25006). */
  refusedWrite({ key, endpoint, connection }: HostedConnection): void {
    if (!connection || !this.#single || !this.#trivial(key.target)) return;
    const known = this.#single.readOnly;
    if (!this.#single.refusedWrite(endpoint, connection)) return;
    const { entry, log, changed } = this.#parts;
    const { host, port } = this.#single.endpoint;
    if (!known) log?.warn({ entry, host, port }, 'server takes no writes: its address may lead to another');
    changed();
  }

  /** An opening failed. True: because of the server and not of the request, which may wait for another server, or for this one. */
  failed(endpoint: Endpoint, error: unknown, { key }: Pick<HostRequest, 'key'>): boolean {
    const entry = this.#hostStatus.of(endpoint);
    if (!entry || !(error instanceof GatewayError) || !ELSEWHERE.includes(error.code)) return false;
    // An opening that was stopped because its server changed says nothing about it.
    if (this.#hostStatus.fits(entry, key.target)) this.#hostStatus.failed(entry);
    this.#healthChecks.renew(entry);
    return true;
  }

  /** Checks nothing until the next request. */
  rest(): void {
    this.#healthChecks.rest();
  }

  #trivial(target: Target): boolean {
    return target === 'any' && this.#single !== undefined;
  }

  #hear(entry: HostEntry, result: HealthCheckResult): NextCheck {
    const { inUse, waiting, clock, changed } = this.#parts;
    this.#take(entry, result);
    if (inUse()) this.#usedAt = clock.now();
    else if (clock.now() - this.#usedAt >= LINGER_MS) this.rest();
    changed();
    if (result.kind === 'refused') return { ms: REFUSED_MS };
    const anew = this.#urgent && waiting();
    return { ms: (anew ? URGENT_MS : CALM_MS) * (0.8 + 0.4 * Math.random()), anew };
  }

  /** Logs one line for each server whose state has changed, also where another server's status changed it. */
  #take(entry: HostEntry, result: HealthCheckResult): void {
    this.#hostStatus.found(entry, result);
    for (const one of this.#hostStatus.all) {
      const [was, state] = [this.#states.get(one), this.#hostStatus.stateOf(one)];
      if (state === was || state === 'pending') continue;
      this.#states.set(one, state);
      const { host, port } = one.endpoint;
      const why = errorOf(one);
      const line = {
        entry: this.#parts.entry,
        host,
        port,
        ...(was && { was }),
        ...(why !== undefined && { reason: innermost(why) }),
      };
      const healthy = state === 'primary' || state === 'replica';
      this.#parts.log?.[healthy ? 'info' : 'warn'](line, `server is ${state}`);
    }
  }
}

function lacking(target: Target, cause: Error): GatewayError {
  const what = target === 'any' ? 'server' : target.replace('prefer-', '');
  return new GatewayError('cannot_connect_now', `the database has no ${what} at the moment`, { cause });
}

function errorOf({ result }: HostEntry): unknown {
  return result?.kind === 'status' ? undefined : result?.error;
}

/** The servers of one entry: checked while the entry is in use, so that each connection goes to a suitable server. */
import { hostsOf, targetOf } from '../../database.ts';
import type { DatabaseOptions } from '../../database.ts';
import { GatewayError } from '../../errors.ts';
import type { Logger } from '../../session.ts';
import type { Target } from '../../target.ts';
import type { ServerConnection } from '../connection.ts';
import type { Timeouts } from '../open.ts';
import type { Clock } from '../pool/clock.ts';
import { innermost, unreachable } from '../refusals.ts';
import { Lookouts } from './lookouts.ts';
import type { Asker } from './lookouts.ts';
import { OnlyHost } from './only-host.ts';
import { describePlace } from './place.ts';
import type { Place } from './place.ts';
import { differs, Roster } from './roster.ts';
import type { Entry, Finding, ServerState } from './roster.ts';
import type { NextLook } from './sentinel.ts';

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
  /** The number of connections to a place. */
  readonly load: (place: Place) => number;
  /** The result of {@link Hosts.choose} or {@link Hosts.fits} may be another now. */
  readonly changed: () => void;
}

/** A request for a connection, as far as the choice of its server depends on it. */
export interface HostRequest {
  readonly key: { readonly target: Target };
  readonly request: Asker;
}

/** A connection, as far as it matters whether its server suits. */
export interface Placed {
  readonly key: { readonly target: Target };
  readonly place: Place | undefined;
  readonly connection: Pick<ServerConnection, 'parameters' | 'standing'> | undefined;
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
  readonly #only: OnlyHost | undefined;
  readonly #roster: Roster;
  readonly #lookouts: Lookouts;
  readonly #states = new Map<Entry, ServerState>();
  #usedAt = 0;
  #urgent = false;

  constructor(parts: HostsParts) {
    const hosts = hostsOf(parts.database);
    this.#parts = parts;
    this.target = targetOf(parts.database);
    const [first] = hosts;
    this.#only = first && hosts.length === 1 ? new OnlyHost(first, parts.clock) : undefined;
    this.#roster = new Roster(parts.clock);
    const told = (entry: Entry, finding: Finding): NextLook => this.#hear(entry, finding);
    this.#lookouts = new Lookouts({ ...parts, hosts, roster: this.#roster, told });
  }

  /** Each server that is checked, and its state. */
  get states(): readonly { readonly place: Place; readonly state: ServerState }[] {
    return this.#roster.all.map((entry) => ({ place: entry.place, state: this.#roster.stateOf(entry) }));
  }

  /** The server for a new connection; undefined if there is none now: `changed` is called when that may be different. */
  choose({ key, request }: HostRequest): Place | undefined {
    if (this.#trivial(key.target)) return this.#only?.place;
    this.#usedAt = this.#parts.clock.now();
    this.#lookouts.start(request);
    const chosen = this.#roster.choose(key.target, this.#parts.load);
    this.#urgent = !chosen;
    if (chosen) this.#roster.began(chosen);
    else this.#lookouts.hurry(URGENT_MS);
    return chosen?.place;
  }

  /** Why there is no server for a target now; undefined where there is one. */
  absence(target: Target): GatewayError | undefined {
    if (this.#trivial(target) || this.#roster.choose(target, this.#parts.load)) return undefined;
    const known = this.states.map(({ place, state }) => `${describePlace(place)} is ${state}`).join(', ');
    const [why] = [...this.#lookouts.lost, ...this.#roster.all.map(errorOf)].filter(
      (one) => one !== undefined,
    );
    const cause = new Error(known || 'no host has an address', { cause: why });
    const reached = this.states.some(({ state }) => state !== 'down' && state !== 'pending');
    if (!reached || this.#roster.suiting(target).length > 0) return unreachable(cause);
    return lacking(target, cause);
  }

  /** Whether a connection's server still suits. */
  fits({ key, place, connection }: Placed): boolean {
    if (this.#only && this.#trivial(key.target)) return this.#only.fits(place, connection);
    const entry = place?.address && this.#roster.of(place);
    if (!entry) return true;
    // Version 14 and newer report it with the answer to a statement: often before the next look.
    const recovering = connection?.parameters.get('in_hot_standby');
    if (recovering === 'on' && key.target === 'primary') return false;
    if (recovering === 'off' && key.target === 'replica') return false;
    return this.#roster.fits(entry, key.target, connection?.standing);
  }

  /** Whether even a session must not go on using a connection: its server has the wrong status, or was superseded. */
  wrong(placed: Placed): boolean {
    const entry = placed.place && this.#roster.of(placed.place);
    if (!entry) return false;
    const state = this.#roster.stateOf(entry, placed.connection?.standing);
    if (state === 'superseded') return true;
    const { target } = placed.key;
    return (target === 'primary' || target === 'replica') && state !== 'down' && !this.fits(placed);
  }

  /**
   * Stores the server's status at an opening; returns the connection.
   * @throws GatewayError `cannot_connect_now`, and closes it, where its server's status is another than expected
   */
  opened(place: Place, connection: ServerConnection, { key, request }: HostRequest): ServerConnection {
    const entry = this.#roster.of(place);
    if (!entry) this.#only?.opened(connection);
    if (!entry) return connection;
    this.#roster.succeeded(entry);
    if (entry.finding?.kind === 'refused') this.#lookouts.continueAs(request);
    const { standing } = connection;
    // The server that is checked is another one, and so are the servers of older connections.
    if (standing && differs(standing, entry.standing)) this.#lookouts.renew(entry);
    if (standing) this.#take(entry, { kind: 'standing', standing });
    if (this.fits({ key, place, connection })) return connection;
    connection.close();
    throw (
      this.absence(key.target) ?? lacking(key.target, new Error(`${describePlace(place)} has become another`))
    );
  }

  /** A connection's server refused a write (25006). */
  refusedWrite({ key, place, connection }: Placed): void {
    if (!connection || !this.#only || !this.#trivial(key.target)) return;
    const known = this.#only.readOnly;
    if (!this.#only.refusedWrite(place, connection)) return;
    const { entry, log, changed } = this.#parts;
    const { host, port } = this.#only.place;
    if (!known) log?.warn({ entry, host, port }, 'server takes no writes: its address may lead to another');
    changed();
  }

  /** An opening failed. True: because of the server and not of the request, which may wait for another server, or for this one. */
  failed(place: Place, error: unknown, { key }: Pick<HostRequest, 'key'>): boolean {
    const entry = this.#roster.of(place);
    if (!entry || !(error instanceof GatewayError) || !ELSEWHERE.includes(error.code)) return false;
    // An opening that was stopped because its server changed says nothing about it.
    if (this.#roster.fits(entry, key.target)) this.#roster.failed(entry);
    this.#lookouts.renew(entry);
    return true;
  }

  /** Checks nothing until the next request. */
  rest(): void {
    this.#lookouts.rest();
  }

  #trivial(target: Target): boolean {
    return target === 'any' && this.#only !== undefined;
  }

  #hear(entry: Entry, finding: Finding): NextLook {
    const { inUse, waiting, clock, changed } = this.#parts;
    this.#take(entry, finding);
    if (inUse()) this.#usedAt = clock.now();
    else if (clock.now() - this.#usedAt >= LINGER_MS) this.rest();
    changed();
    if (finding.kind === 'refused') return { ms: REFUSED_MS };
    const anew = this.#urgent && waiting();
    return { ms: (anew ? URGENT_MS : CALM_MS) * (0.8 + 0.4 * Math.random()), anew };
  }

  /** Logs one line for each server whose state has changed, also where another server's status changed it. */
  #take(entry: Entry, finding: Finding): void {
    this.#roster.found(entry, finding);
    for (const one of this.#roster.all) {
      const [was, state] = [this.#states.get(one), this.#roster.stateOf(one)];
      if (state === was || state === 'pending') continue;
      this.#states.set(one, state);
      const { host, port } = one.place;
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

function errorOf({ finding }: Entry): unknown {
  return finding?.kind === 'standing' ? undefined : finding?.error;
}

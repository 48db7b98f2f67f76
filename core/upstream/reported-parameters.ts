/** The ParameterStatus of earlier logins, by which the next login of the same kind needs no server connection. */
import { hash } from 'node:crypto';
import type { ServerConnection } from './connection.ts';
import type { DatabaseOptions } from '../contract/database.ts';
import type { Startup, Upstream } from '../contract/session.ts';
import { ParameterMap, valueOf } from './parameter-map.ts';
import type { Endpoint } from './hosts/endpoint.ts';
import type { HostedConnection, Hosts } from './hosts/hosts.ts';
import type { SessionSettings } from './session-settings.ts';
import type { Clock } from './clock.ts';
import { keyOf } from './pool-key.ts';
import type { PoolKey } from './pool-key.ts';

/** Reports that PostgreSQL has contradicted: all of a role, or of a pool key. */
export type Outdated = { readonly role: string } | { readonly key: string };

/** The parts of the pool that reports depend on. */
export interface ReportedParametersParts {
  readonly database: DatabaseOptions;
  readonly clock: Pick<Clock, 'now'>;
  readonly hosts: Pick<Hosts, 'target' | 'absence' | 'fits'>;
  readonly connector: { readonly refusal: (role: string) => Error | undefined };
  /** Aborted when the pool ends. */
  readonly closing: AbortSignal;
  /** Tells other workers, which have such a pool with reports of their own. Default: there are none. */
  readonly outdated?: ((what: Outdated) => void) | undefined;
}

type Parameters = ReadonlyMap<string, string>;

/** A login: as whom, and with which startup parameters. */
interface Login {
  readonly upstream: Upstream;
  readonly startup: Startup;
}

/** A connection of the pool, as its login left it. */
interface LoggedIn {
  readonly key: PoolKey;
  readonly connection: ServerConnection | undefined;
  readonly endpoint: Endpoint | undefined;
  /** The settings that were applied for its session. */
  readonly applied: SessionSettings;
  /** The parameters that the server reported at the login. */
  readonly reported: Parameters;
  /** When it is too old to be lent, by the pool's clock. */
  readonly expiresAt: number;
}

/** The parameters of the server connection that a session with this kind of login got. */
interface Report extends HostedConnection {
  readonly key: PoolKey;
  readonly connection: Pick<ServerConnection, 'parameters' | 'serverStatus'>;
  /** See {@link LoggedIn.reported}. */
  readonly base: Parameters;
  /** When that connection is too old to be handed out, by the pool's clock. */
  readonly until: number;
}

/** Most reports: clients choose their parameters freely. A login without a report needs a connection. */
const MOST = 1_000;
/** Longest key and parameters of a report, in characters. */
const LONGEST = 4_000;

/**
 * One per pool. PostgreSQL has accepted a login as the role, to the database, with exactly these startup parameters, and has
 * reported these values; the login is as recent as that of a pooled connection. Later changes are reported with the
 * first connection that the session gets: see `tellDifferences`.
 */
export class ReportedParameters {
  readonly #parts: ReportedParametersParts;
  /** By the digest of a login. */
  readonly #reports = new Map<string, Report>();
  /** Keys in which policies set a parameter that the server reports: its value depends on the session. */
  readonly #policies = new Set<string>();

  constructor(parts: ReportedParametersParts) {
    this.#parts = parts;
  }

  /** The parameters for a login; undefined where a server connection is needed to know them. Not a copy. */
  of({ upstream, startup }: Login): Parameters | undefined {
    const { clock, hosts, connector, closing } = this.#parts;
    const key = keyOf(upstream, false, hosts.target);
    const login = digestOf(textOf(key, startup));
    const report = this.#reports.get(login);
    if (!report || (upstream.onCheckout.length > 0 && this.#policies.has(key.text))) return undefined;
    if (closing.aborted || connector.refusal(key.role) || hosts.absence(key.target)) return undefined;
    if (clock.now() < report.until && hosts.fits(report)) return report.connection.parameters;
    this.#reports.delete(login);
    return undefined;
  }

  /** A session has got its first connection, on which none of its statements has run. */
  learn(server: LoggedIn, { startup }: Pick<Login, 'startup'>): void {
    const { mode, clientMode } = this.#parts.database.pool ?? {};
    if (mode !== 'transaction' && clientMode !== 'choose') return;
    const { key, connection, endpoint, applied, reported: base, expiresAt: until } = server;
    if (!connection || !key.pooled) return;
    const { parameters, serverStatus } = connection;
    const names = setBy(applied, 'policy');
    if (names.size > 0 && (anyOf(parameters, names) || overwritten(parameters, applied)))
      return keepNewest(this.#policies.add(key.text));
    // A parameter has changed without a tag that shows it: by the server, or by a function.
    if (differences(parameters, base, setBy(applied, 'client'))) return this.drop({ key: key.text });
    const text = textOf(key, startup);
    if (text.length > LONGEST) return;
    const login = digestOf(text);
    const known = this.#reports.get(login);
    const same = known && known.endpoint === endpoint && !differences(known.base, base, NONE);
    if (same && known.until >= until) return;
    this.#reports.delete(login);
    // Its copies share the values, and are known as equal at a look.
    const kept = { parameters: new ParameterMap(parameters), serverStatus };
    this.#reports.set(login, { key, endpoint, connection: kept, base, until });
    if (this.#reports.size > MOST) this.#reports.delete(this.#leastMissed());
  }

  /** The oldest of the role that has most: a client that sends other parameters at each login costs other roles no report. */
  #leastMissed(): string {
    const ofRole = new Map<string, { readonly oldest: string; count: number }>();
    let most = { oldest: '', count: 0 };
    for (const [text, { key }] of this.#reports) {
      const own = ofRole.get(key.role) ?? { oldest: text, count: 0 };
      ofRole.set(key.role, own);
      own.count += 1;
      if (own.count > most.count) most = own;
    }
    return most.oldest;
  }

  /** PostgreSQL has accepted a login again: drops earlier reports with other values. */
  opened({ key, endpoint, reported }: Pick<LoggedIn, 'key' | 'endpoint' | 'reported'>): void {
    const before = this.#reports.size;
    for (const [text, one] of this.#reports) {
      const same =
        one.key.text !== key.text || one.endpoint !== endpoint || !differences(one.base, reported, NONE);
      if (!same) this.#reports.delete(text);
    }
    if (this.#reports.size < before) this.#parts.outdated?.({ key: key.text });
  }

  /** PostgreSQL has refused a role: no report may let its next login in, whatever pool key it has. */
  refused(role: string): void {
    this.drop({ role });
    this.#parts.outdated?.({ role });
  }

  /** Drops what this pool, or that of another worker, has found out to be outdated. */
  drop(what: Outdated): void {
    for (const [text, { key }] of this.#reports)
      if ('role' in what ? key.role === what.role : key.text === what.key) this.#reports.delete(text);
  }

  /** Drops all. */
  forget(): void {
    this.#reports.clear();
  }
}

const NONE: ReadonlySet<string> = new Set();

/** A key that has no value of a client in it. */
const digestOf = (text: string): string => hash('sha256', text, 'base64');

const textOf = ({ text }: PoolKey, { parameters }: Startup): string => `${text}${JSON.stringify(parameters)}`;

function keepNewest(all: Set<string>): void {
  const [oldest] = all.keys();
  if (all.size > MOST && oldest !== undefined) all.delete(oldest);
}

/** Names in lower case. */
function setBy({ all, policies }: SessionSettings, whose: 'client' | 'policy'): ReadonlySet<string> {
  if (all.length === 0 || (whose === 'policy' && policies === '')) return NONE;
  return new Set(all.filter(({ from }) => from === whose).map(({ name }) => name.toLowerCase()));
}

/** A function of a policy may have set a setting that the client has chosen: its value may depend on the person. */
function overwritten(parameters: Parameters, { all, chosen }: SessionSettings): boolean {
  if (!all.some(({ value }) => typeof value === 'object' && value !== null)) return false;
  return chosen.some(({ name, value }) => (valueOf(parameters, name) ?? value) !== value);
}

function anyOf(parameters: Parameters, names: ReadonlySet<string>): boolean {
  return [...parameters.keys()].some((name) => names.has(name.toLowerCase()));
}

/** Whether parameters that are not among `except` have other values. */
function differences(now: Parameters, before: Parameters, except: ReadonlySet<string>): boolean {
  for (const [name, value] of now)
    if (before.get(name) !== value && !except.has(name.toLowerCase())) return true;
  return now.size !== before.size;
}

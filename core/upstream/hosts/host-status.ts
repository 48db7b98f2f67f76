/** The known status of an entry's servers, and which of them suit a target. */
import type { Target } from '../../contract/target.ts';
import type { Clock } from '../clock.ts';
import type { ServerStatus } from './server-probe.ts';
import type { Endpoint } from './endpoint.ts';

/**
 * The state of a server. `pending`: not checked yet. `unknown`: it answers, and refuses the check.
 * `superseded`: it calls itself primary, but another one has been promoted since. `down`: it cannot be reached.
 */
export type ServerState = 'pending' | 'unknown' | 'primary' | 'replica' | 'superseded' | 'down';

/** The result of a check. */
export type HealthCheckResult =
  | { readonly kind: 'status'; readonly serverStatus: ServerStatus }
  /** It answers, and has no room for one more connection: its state stays. */
  | { readonly kind: 'crowded' }
  /** It answers, and refuses the role that checks. */
  | { readonly kind: 'refused'; readonly error: unknown }
  | { readonly kind: 'down'; readonly error: unknown };

/** One server. */
export interface HostEntry {
  readonly endpoint: Endpoint;
  /** The last result but `crowded`; undefined before the first. */
  result: Exclude<HealthCheckResult, { kind: 'crowded' }> | undefined;
  /** Its last status, also while it is down. */
  serverStatus: ServerStatus | undefined;
  /** By system the newest timeline at this address, which may belong to an older server again later. */
  readonly timelines: Map<string, number>;
  /** Failed openings since the last successful one. */
  failures: number;
  /** The earliest time of the next opening there, by the clock. */
  retryAt: number;
}

/** The first pause after a failed opening, and the longest, in milliseconds. */
const [SHORTEST_PAUSE, LONGEST_PAUSE] = [1_000, 30_000];

/** One per pool. */
export class HostStatus {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #entries = new Map<string, HostEntry>();
  readonly #byEndpoint = new Map<Endpoint, HostEntry>();
  /** By system the newest timeline that was seen, also on a server that is down: an older one's rows are not the last. */
  #newest = new Map<string, number>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** In the order in which they were added. */
  get all(): readonly HostEntry[] {
    return [...this.#entries.values()];
  }

  /** The entry of an endpoint; added if there is none. */
  meet(endpoint: Endpoint): HostEntry {
    const text = textOf(endpoint);
    const known = this.#entries.get(text);
    if (known) return known;
    const unknown = { result: undefined, serverStatus: undefined, timelines: new Map() };
    const entry = { endpoint, ...unknown, failures: 0, retryAt: 0 };
    this.#entries.set(text, entry);
    this.#byEndpoint.set(endpoint, entry);
    return entry;
  }

  /** The entry of an endpoint; undefined for one that was removed. */
  of(endpoint: Endpoint): HostEntry | undefined {
    return this.#byEndpoint.get(endpoint);
  }

  forget({ endpoint }: HostEntry): void {
    this.#entries.delete(textOf(endpoint));
    this.#byEndpoint.delete(endpoint);
    this.#compare();
  }

  /** Stores a result. */
  found(entry: HostEntry, result: HealthCheckResult): void {
    if (result.kind === 'crowded') {
      entry.result ??= { kind: 'refused', error: undefined };
      return;
    }
    entry.result = result;
    if (result.kind !== 'status') return;
    const { serverStatus } = result;
    entry.serverStatus = serverStatus;
    keepNewest(entry.timelines, serverStatus.system, serverStatus.timeline);
    this.#compare();
  }

  /** Checks have stopped: servers that were reachable have to be checked again before they are used. */
  expire(): void {
    for (const entry of this.all) if (entry.result?.kind !== 'down') entry.result = undefined;
  }

  /** An opening begins: of those to a server that failed, one at a time. */
  began(entry: HostEntry): void {
    if (entry.failures > 0) entry.retryAt = this.#clock.now() + pauseAfter(entry.failures);
  }

  /** An opening could not reach the server. */
  failed(entry: HostEntry): void {
    entry.failures += 1;
    entry.retryAt = this.#clock.now() + pauseAfter(entry.failures);
  }

  succeeded(entry: HostEntry): void {
    entry.failures = 0;
    entry.retryAt = 0;
  }

  /** The state of the server at the endpoint; or of the one that reported `own` at a login there, if that is another. */
  stateOf({ result, serverStatus }: HostEntry, own?: ServerStatus): ServerState {
    if (own && differs(own, serverStatus)) return this.#stateBy(own);
    if (!result) return 'pending';
    if (result.kind === 'down') return 'down';
    return result.kind === 'refused' ? 'unknown' : this.#stateBy(serverStatus);
  }

  /** Those that serve a target now, whether or not one may be opened there at once. */
  suiting(target: Target): readonly HostEntry[] {
    const states = this.all.map((entry) => ({ entry, state: this.stateOf(entry) }));
    const of = (...wanted: readonly ServerState[]): readonly HostEntry[] =>
      states.filter(({ state }) => wanted.includes(state)).map(({ entry }) => entry);
    // A check that is still running may find a newer primary, or a replica that is preferred.
    const hasty = target === 'primary' || target === 'prefer-replica';
    if (hasty && of('pending').length > 0) return [];
    const suiting = PREFERENCES[target].map((wanted) => of(...wanted)).find(({ length }) => length > 0);
    return suiting ?? of('unknown');
  }

  /** The server for a new connection: the one with the fewest, or for a primary the first. */
  choose(target: Target, load: (endpoint: Endpoint) => number): HostEntry | undefined {
    const now = this.#clock.now();
    const open = this.suiting(target).filter(({ retryAt }) => now >= retryAt);
    if (target === 'primary') return open[0];
    const loads = open.map(({ endpoint }) => load(endpoint));
    const least = open.filter((_, endpoint) => loads[endpoint] === Math.min(...loads));
    return least[Math.floor(Math.random() * least.length)];
  }

  /**
   * Whether a connection there, whose server reported `own` at its login, may serve a target. While the state is not known, it
   * may: it was checked when it was opened.
   */
  fits(entry: HostEntry, target: Target, own?: ServerStatus): boolean {
    const state = this.stateOf(entry, own);
    if (state === 'pending' || state === 'unknown') return true;
    if (target !== 'prefer-replica') return PREFERENCES[target].some((wanted) => wanted.includes(state));
    return state === 'replica' || this.suiting(target).some((one) => this.stateOf(one) === state);
  }

  #stateBy(serverStatus: ServerStatus | undefined): ServerState {
    if (serverStatus?.kind !== 'primary') return 'replica';
    const { system, timeline } = serverStatus;
    return timeline > 0 && timeline < (this.#newest.get(system) ?? 0) ? 'superseded' : 'primary';
  }

  #compare(): void {
    this.#newest = new Map();
    for (const { timelines } of this.all)
      for (const [system, timeline] of timelines) keepNewest(this.#newest, system, timeline);
  }
}

function keepNewest(newest: Map<string, number>, system: string, timeline: number): void {
  newest.set(system, Math.max(timeline, newest.get(system) ?? 0));
}

/** Whether two answers came from two servers behind one address. */
export function differs(one: ServerStatus, other: ServerStatus | undefined): boolean {
  return Boolean(other && one.instance && other.instance && one.instance !== other.instance);
}

/** The states that serve a target, the preferred ones first. */
const PREFERENCES: Readonly<Record<Target, readonly (readonly ServerState[])[]>> = {
  primary: [['primary']],
  replica: [['replica']],
  'prefer-replica': [['replica'], ['primary']],
  any: [['primary', 'replica']],
};

/** Times a random factor from 0.75 to 1.25, so that gateways do not connect at the same time. */
function pauseAfter(failures: number): number {
  const ms = Math.min(SHORTEST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE);
  return ms * (0.75 + Math.random() / 2);
}

const textOf = ({ host, port, address }: Endpoint): string => JSON.stringify([host, port, address]);

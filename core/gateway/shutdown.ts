/** The end of a gateway: the time limits of its parts, and what is cut off at their end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../contract/errors.ts';
import { overBy } from '../upstream/deadline.ts';
import type { AdminServer } from '../admin/admin-server.ts';
import type { ConfigVersions } from './config-versions.ts';
import type { Shared } from './shared.ts';
import type { Listener } from './listener.ts';
import type { Reachability } from './reachability.ts';
import { flushed, tellLeftOut } from '../telemetry/log.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import type { ShutdownAfter } from '../contract/operations.ts';

/** What has to end. */
export interface ShutdownParts {
  readonly log: PinoLogger;
  readonly shared: Shared;
  readonly configVersions: ConfigVersions;
  readonly listeners: readonly Listener[];
  readonly reachability: Reachability;
  readonly admin: AdminServer | undefined;
}

/** From the drain timeout to the moment when all is over, in milliseconds. */
const EXIT_MS = 450;
/** The same for a stop without a time limit of its own. */
const STOP_MS = 10_000;
/** How long a client may take to read why it has to go, at most, in milliseconds. */
const LAST_WORDS_MS = 500;
/** How long sessions without a client, server connections, and a log with a slow reader may take, at most. */
const PART_MS = 1_000;
/** So long a worker that retires serves who has logged in last, in milliseconds. */
export const LEAST_SERVED_MS = 1_000;
const POLL_MS = 10;
/** So many idle sessions end each `POLL_MS`, or more where it would take too long: their clients shall not come back elsewhere in one moment. */
const ENDED_AT_ONCE = 5;
/** That takes this part of the drain timeout at most. */
const SPREAD = 0.1;

/** A moment by `performance.now()`, which may be moved to an earlier one. */
type Limit = () => number;

const SHUTDOWN = new GatewayError('admin_shutdown', 'terminating connection: the gateway is shutting down');

/** One per gateway. */
export class Shutdown {
  readonly #parts: ShutdownParts;
  /** When all is over, whatever has not ended by itself. */
  #until = Infinity;
  #draining: Promise<void> | undefined;
  /** All of the gateway drains: a worker that retires waits for nobody who logs in. */
  #hurries = false;
  #ending: Promise<void> | undefined;
  #toldOver: () => void = () => {};
  /** Resolves at the end, for whatever reason it was begun. */
  readonly over = new Promise<void>((resolve) => (this.#toldOver = resolve));

  constructor(parts: ShutdownParts) {
    this.#parts = parts;
  }

  /** See `Gateway.drain`. */
  drain(): Promise<void> {
    this.#hurries = true;
    this.#draining ??= this.#drain(() => this.#serveOn());
    return this.#draining;
  }

  /** See `Gateway.retire`. */
  retire(): Promise<void> {
    this.#draining ??= this.#drain(() => this.#letIn());
    return this.#draining;
  }

  /** Takes no new logins at once, and drains when nobody is left, or no server connection is in use, unless it is told to before. */
  async drainAfter(after: ShutdownAfter | undefined): Promise<void> {
    const { shared } = this.#parts;
    const { overview } = shared;
    this.#refuseLogins();
    if (after === 'servers') for (const session of overview.clients) session.drain(SHUTDOWN);
    const told = (): boolean => after === undefined || (this.#draining ?? this.#ending) !== undefined;
    await this.#wait(
      () => told() || overview.clients.length === 0,
      () => Infinity,
    );
    await this.drain();
  }

  /** See `Gateway.stop`. */
  stop(withinMs = STOP_MS): Promise<void> {
    this.#until = Math.min(this.#until, performance.now() + withinMs);
    this.#ending ??= this.#end();
    return this.#ending;
  }

  /** Takes down what came up while a stop took down the rest. */
  async takeDownAgain(): Promise<void> {
    const until = performance.now() + STOP_MS;
    for (const listener of this.#parts.listeners) {
      listener.close();
      listener.cutOff();
    }
    await this.#takeDown(() => () => until);
  }

  /** The readiness of a gateway that is shutting down does not depend on its servers. */
  #refuseLogins(): void {
    const { shared, reachability } = this.#parts;
    shared.leaving = true;
    shared.draining = true;
    shared.suspension.end();
    reachability.stop();
  }

  /** Clients that were accepted before the socket was returned log in; those that come for one transaction leave by themselves. */
  async #letIn(): Promise<void> {
    const { shared, log, listeners, configVersions } = this.#parts;
    const { sessions } = shared;
    shared.retiring = true;
    shared.leaving = true;
    log.info({ sessions: sessions.size }, 'retiring');
    const connections = (): number => listeners.reduce((sum, { size }) => sum + size, 0);
    const areIn = (): boolean =>
      connections() <= sessions.size && [...sessions].every(({ state }) => state !== 'starting');
    let latest = performance.now();
    const isOver = (): boolean => {
      if (!areIn()) latest = performance.now();
      return connections() === 0 || performance.now() - latest >= LEAST_SERVED_MS;
    };
    const limit = latest + configVersions.inForce.config.loginTimeoutMs + LEAST_SERVED_MS;
    await this.#wait(
      () => this.#hurries || this.#ending !== undefined || shared.draining || isOver(),
      () => limit,
    );
  }

  /** Balancers send clients for some time to a gateway whose readiness they have not asked again: these are served. */
  async #serveOn(): Promise<void> {
    const { shared, log, listeners, configVersions } = this.#parts;
    const { drainDelayMs } = configVersions.inForce.config;
    // No client has come, or logins are refused by an operator's order already.
    if (drainDelayMs === 0 || shared.draining || !listeners.every(({ bound }) => bound)) return;
    shared.leaving = true;
    const until = performance.now() + drainDelayMs;
    log.info({ delayMs: drainDelayMs, sessions: shared.sessions.size }, 'not ready, and serving on');
    await this.#wait(
      () => this.#ending !== undefined || shared.draining,
      () => until,
    );
  }

  async #drain(before: () => Promise<void>): Promise<void> {
    const { shared, log, configVersions } = this.#parts;
    const { sessions } = shared;
    // As the parent of workers was told: a reload meanwhile changes neither.
    const { drainTimeoutMs } = configVersions.inForce.config;
    await before();
    const over = performance.now() + drainTimeoutMs;
    this.#until = Math.min(this.#until, over + EXIT_MS);
    this.#refuseLogins();
    log.info({ sessions: sessions.size }, 'draining');
    await this.#drainSessions(drainTimeoutMs * SPREAD);
    await this.#wait(
      () => sessions.size === 0 || this.#ending !== undefined,
      () => over,
    );
    if (sessions.size > 0 && !this.#ending)
      log.warn({ sessions: sessions.size }, 'the drain timeout is over');
    this.#ending ??= this.#end();
    await this.#ending;
  }

  /** In random order, so that none of the clients that came together leave together. */
  async #drainSessions(withinMs: number): Promise<void> {
    const { sessions } = this.#parts.shared;
    const waiting = shuffled(sessions);
    const atOnce = Math.max(
      ENDED_AT_ONCE,
      Math.ceil((waiting.length * POLL_MS) / Math.max(POLL_MS, withinMs)),
    );
    while (waiting.length > 0 && !this.#ending) {
      for (const session of waiting.splice(-atOnce)) session.drain(SHUTDOWN);
      if (waiting.length > 0) await sleep(POLL_MS);
    }
  }

  async #end(): Promise<void> {
    const { shared, log, listeners, admin } = this.#parts;
    const { sessions } = shared;
    const begun = performance.now();
    const share = (part: number, mostMs = Infinity): Limit => {
      const most = performance.now() + mostMs;
      return () => Math.min(most, begun + (this.#until - begun) * part);
    };
    this.#refuseLogins();
    for (const session of sessions) session.end(SHUTDOWN);
    for (const listener of listeners) listener.close();
    const told = (): boolean => sessions.size === 0 && listeners.every(({ size }) => size === 0);
    await this.#wait(told, share(0.3, LAST_WORDS_MS));
    for (const session of sessions) session.cutOff(SHUTDOWN);
    for (const listener of listeners) listener.cutOff();
    await this.#wait(() => sessions.size === 0, share(0.6, PART_MS));
    // Balancers and operators do not notice: the next lead answers them.
    if (shared.retiring && admin) await overBy(admin.finish(), share(0.6, PART_MS));
    await this.#takeDown(share);
    this.#tellCutOff();
    tellLeftOut(log);
    log.info({}, 'stopped');
    await overBy(flushed(log), share(1, PART_MS));
    this.#toldOver();
  }

  /** Can be called again. */
  async #takeDown(share: (part: number, mostMs?: number) => Limit): Promise<void> {
    const { shared, configVersions, admin } = this.#parts;
    shared.statistics.stop();
    await overBy(shared.pools.close(), share(0.65, PART_MS));
    await configVersions.end(SHUTDOWN, share(0.9));
    if (admin) await overBy(admin.close(), share(0.9));
    shared.coordination.close();
  }

  #tellCutOff(): void {
    const { shared, log } = this.#parts;
    const calls = shared.calls.unfinished;
    const sessions = shared.sessions.size;
    const servers = shared.pools.everyOne().reduce((sum, { pool }) => sum + pool.size, 0);
    if (calls.length + sessions + servers > 0) log.warn({ sessions, servers, calls }, 'cut off at the end');
  }

  async #wait(over: () => boolean, limit: Limit): Promise<void> {
    while (!over() && performance.now() < limit()) await sleep(POLL_MS);
  }
}

function shuffled<T>(values: Iterable<T>): T[] {
  const drawn = Array.from(values, (value) => ({ value, at: Math.random() }));
  return drawn.toSorted((a, b) => a.at - b.at).map(({ value }) => value);
}

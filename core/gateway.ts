/** The gateway as a whole: puts the parts together, starts them, reloads, drains and stops them. */
import { AdminServer } from './admin/admin-server.ts';
import type { Check } from './admin/admin-routes.ts';
import type { ResolvedConfig } from './config/resolved.ts';
import { GatewayError } from './contract/errors.ts';
import type { Events } from './contract/events.ts';
import type { ShutdownAfter } from './contract/operations.ts';
import type { Client } from './contract/session.ts';
import { ConfigReload } from './gateway/config-reload.ts';
import type { ConfigSource } from './gateway/config-reload.ts';
import { ConfigVersions } from './gateway/config-versions.ts';
import type { PreparedConfig } from './gateway/config-versions.ts';
import { fleetNote, fleetReading } from './gateway/fleet-reading.ts';
import { Listener } from './gateway/listener.ts';
import type { Channel } from './net/channel.ts';
import type { Address } from './net/listening.ts';
import type { PinoLogger } from './telemetry/log.ts';
import { refuseIfStopped } from './gateway/plugin-setup.ts';
import { Reachability } from './gateway/reachability.ts';
import { serverChecks } from './gateway/server-checks.ts';
import { makeShared } from './gateway/shared.ts';
import type { Shared } from './gateway/shared.ts';
import { LEAST_SERVED_MS, Shutdown } from './gateway/shutdown.ts';
import { WorkersReadiness } from './gateway/workers-readiness.ts';
import type { Coordination } from './workers/coordination.ts';
import { ownEntrances } from './workers/entrances.ts';
import type { Entrances } from './workers/entrances.ts';
import { SingleProcess } from './workers/single-process.ts';

/** Where a started gateway can be reached. */
export interface Started {
  readonly listeners: readonly (Address & { readonly name: string })[];
  readonly admin?: Address;
}

/** One process's gateway. Starts once and stops once. */
export class Gateway {
  readonly #log: PinoLogger;
  readonly #shared: Shared;
  readonly #configVersions: ConfigVersions;
  readonly #admin: AdminServer | undefined;
  readonly #shutdown: Shutdown;
  readonly #reachability: Reachability;
  readonly #listeners: readonly Listener[];
  readonly #reloads: ConfigReload;
  #source: (() => Promise<ResolvedConfig>) | undefined;

  /**
   * `coordination`: what it shares with other workers. Default: it is the only one. `entrances`: where its connections come from. Default: sockets of its own.
   * @throws ConfigError when a certificate cannot be used
   */
  constructor(
    config: ResolvedConfig,
    log: PinoLogger,
    coordination: Coordination = new SingleProcess(),
    entrances: Entrances = ownEntrances(),
  ) {
    this.#log = log;
    const inForce = (): ResolvedConfig => this.#configVersions.inForce.config;
    const tell = (event: Events['operator']): void =>
      this.#configVersions.inForce.hooks.tell('operator', event);
    this.#shared = makeShared({
      coordination,
      log,
      config: inForce,
      plugins: () => this.#configVersions.inForce.pluginReadings(),
      tell,
      reload: () => coordination.parent?.reload() ?? this.#reloadFromSource(),
      shutDown: async (after) => {
        if (coordination.parent) coordination.parent.shutDown(after);
        else await this.#shutdown.drainAfter(after);
      },
      addresses: () => this.#listeners.flatMap(({ address }) => address ?? []),
      accept: (channel, client) => this.#accept(channel, client),
    });
    const checks = (): readonly Check[] => this.#checks();
    const readiness = new WorkersReadiness(coordination, {
      own: () => this.#configVersions.inForce.checks(),
      retires: () => this.#shared.retiring,
    });
    const configVersions = new ConfigVersions(config, {
      log,
      checks,
      readiness: (own) => readiness.checks(own),
      shared: this.#shared,
    });
    this.#configVersions = configVersions;
    const { admin, listeners } = config;
    this.#admin = admin && new AdminServer(admin, () => configVersions.inForce, entrances.admin);
    this.#listeners = listeners.map(
      (listener) => new Listener(listener, entrances.of(listener), () => configVersions.inForce),
    );
    const reachability = new Reachability(this.#shared.pools);
    this.#reachability = reachability;
    const applied = (is: ResolvedConfig): void => reachability.begin(is);
    this.#reloads = new ConfigReload({ log, shared: this.#shared, configVersions, applied });
    const parts = {
      log,
      shared: this.#shared,
      configVersions,
      listeners: this.#listeners,
      admin: this.#admin,
      reachability: this.#reachability,
    };
    this.#shutdown = new Shutdown(parts);
  }

  /**
   * Sets the plugins up, then listens. Where something fails, the rest is undone.
   * @throws ConfigError; Error if it was stopped meanwhile
   */
  start(): Promise<Started> {
    const started = this.#start();
    this.#reloads.startsWith(started);
    return started;
  }

  /**
   * Puts a config, or the one that a function loads, in force for new connections; those that are there go on under
   * theirs. Either all of it is applied or nothing. One reload after the other, in the order of the calls; each is
   * logged. The plugins must be objects of their own: every config sets its plugins up.
   * @throws ConfigError for what only a restart can apply; what the load or a plugin's setup throws; Error if the
   * gateway has not started or is stopped. The config in force stays.
   */
  reload(from: ConfigSource): Promise<void> {
    return this.#reloads.reload(from);
  }

  /**
   * The first half of a {@link reload}, for a gateway that reloads together with others: what it resolves with puts the config in force or
   * disposes of it, and the next reload waits for that. Nothing is logged.
   * @throws as `reload`; the reason of `calledOff` when that is aborted before
   */
  prepareReload(from: ConfigSource, calledOff: AbortSignal): Promise<PreparedConfig> {
    return this.#reloads.prepare(from, calledOff);
  }

  /** Readiness checks tell that a reload has failed, here or in another worker. */
  reloadFailed(): void {
    this.#reloads.failed();
  }

  /** Where operators' RELOAD gets the config from. Default: nowhere, and a RELOAD is refused. */
  reloadsFrom(load: () => Promise<ResolvedConfig>): void {
    this.#source = load;
  }

  /**
   * Lets transactions finish, then stops. While `drainDelay` lasts only readiness checks know of it. Then new logins get 57P03 until the
   * end, idle sessions 57P01, spread over a tenth of `drainTimeout` at most, the others when they become idle or when `drainTimeout` is
   * over. Resolves half a second after that at the latest: what has not ended by then is cut off, and stands in the log.
   */
  drain(): Promise<void> {
    return this.#shutdown.drain();
  }

  /**
   * As {@link drain}, in a worker to which no new connection comes, since another process takes its place: who is logging in gets in, and
   * has a moment to run a transaction.
   */
  retire(): Promise<void> {
    return this.#shutdown.retire();
  }

  /** How long a {@link retire} may take, by the config in force. */
  get retiresWithinMs(): number {
    const { loginTimeoutMs, drainTimeoutMs } = this.#configVersions.inForce.config;
    return loginTimeoutMs + LEAST_SERVED_MS + drainTimeoutMs;
  }

  /** How long a {@link drain} may take before what is left is cut off, by the config in force. */
  get drainsWithinMs(): number {
    const { drainDelayMs, drainTimeoutMs } = this.#configVersions.inForce.config;
    return drainDelayMs + drainTimeoutMs;
  }

  /** Takes no new logins, and drains when nobody is left who waits for it: an operator's SHUTDOWN. */
  shutDown(after: ShutdownAfter | undefined): Promise<void> {
    return this.#shutdown.drainAfter(after);
  }

  /** The config in force. */
  get config(): ResolvedConfig {
    return this.#configVersions.inForce.config;
  }

  /** True once balancers shall send no more clients. */
  get isLeaving(): boolean {
    return this.#shared.leaving;
  }

  /** Connections of clients that are open now, logged in or not. */
  get connections(): number {
    return this.#listeners.reduce((sum, { size }) => sum + size, 0);
  }

  /** Resolves when it has stopped, for whatever reason. */
  get stopped(): Promise<void> {
    return this.#shutdown.over;
  }

  /** Ends every session now with 57P01 and stops. What has not ended after `withinMs` is cut off. Default 10 s. */
  stop(withinMs?: number): Promise<void> {
    return this.#shutdown.stop(withinMs);
  }

  #accept(channel: Channel, client: Client): void {
    this.#listeners.find(({ name }) => name === client.listener)?.accept(channel, client);
  }

  async #start(): Promise<Started> {
    try {
      await this.#shared.operatorState.begin();
      await this.#shared.pools.begin();
      await this.#configVersions.inForce.setUp();
      const admin = await this.#admin?.listen();
      const listeners = [];
      for (const listener of this.#listeners) listeners.push(await listener.open());
      refuseIfStopped(this.#shared);
      this.#shared.statistics.start();
      this.#reachability.begin(this.#configVersions.inForce.config);
      if (admin) this.#log.info(this.#adminLine(admin), 'admin listening');
      for (const { name, host, port } of listeners) this.#log.info({ name, host, port }, 'listening');
      return { listeners, ...(admin && { admin }) };
    } catch (error) {
      await this.stop();
      // Listeners that opened while the others were being closed.
      await this.#shutdown.takeDownAgain();
      throw error;
    }
  }

  #adminLine({ host, port }: Address): object {
    const { config, adminTls } = this.#configVersions.inForce;
    return config.admin?.mode === undefined ? { host, port, tls: adminTls !== undefined } : { path: host };
  }

  async #reloadFromSource(): Promise<void> {
    if (this.#source) return this.reload(this.#source);
    throw new GatewayError('feature_not_supported', 'this gateway was not started from a config file');
  }

  #checks(): Check[] {
    const listening = this.#listeners.map((listener) => ({
      name: `listener ${listener.name}`,
      problem: listener.bound ? undefined : 'not listening',
    }));
    const draining = {
      name: 'logins',
      problem: this.#shared.leaving ? 'the gateway is shutting down' : undefined,
    };
    const suspended = { name: 'suspension', problem: 'an operator has suspended the gateway' };
    const known = { name: 'config', problem: undefined, note: this.#reloads.note };
    const fleet = fleetReading(this.#shared.coordination);
    const ofFleet = fleet ? [{ name: 'fleet', problem: undefined, note: fleetNote(fleet) }] : [];
    const standstill = this.#shared.suspension.on ? [suspended] : [];
    const servers = [...this.#reachability.checks, ...serverChecks(this.#shared.pools)];
    return [...listening, draining, ...standstill, known, ...ofFleet, ...servers];
  }
}

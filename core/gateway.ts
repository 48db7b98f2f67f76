/** The gateway as a whole: puts the parts together, starts them, reloads, drains and stops them. */
import { AdminServer } from './gateway/admin.ts';
import type { Check } from './gateway/admin-routes.ts';
import type { Changes } from './gateway/changes.ts';
import type { ResolvedConfig } from './config/resolved.ts';
import { GatewayError } from './errors.ts';
import type { Events } from './events.ts';
import { ConfigVersions } from './gateway/config-versions.ts';
import type { Shared } from './gateway/gateway-context.ts';
import { Listener } from './gateway/listener.ts';
import type { Address } from './gateway/listening.ts';
import type { PinoLogger } from './gateway/log.ts';
import { refuseIfStopped } from './gateway/plugin-setup.ts';
import { serverChecks } from './gateway/server-checks.ts';
import { makeShared } from './gateway/shared.ts';
import { Shutdown } from './gateway/shutdown.ts';
import { abortable, within } from './upstream/deadline.ts';

/** Where a started gateway can be reached. */
export interface Started {
  readonly listeners: readonly (Address & { readonly name: string })[];
  readonly admin?: Address;
}

/** How long a config may take to be loaded and set up, in milliseconds: one that never ends must not keep the next from its turn. */
const RELOAD_MS = 60_000;

/** One process's gateway. Starts once and stops once. */
export class Gateway {
  readonly #log: PinoLogger;
  readonly #shared: Shared;
  readonly #configVersions: ConfigVersions;
  readonly #admin: AdminServer | undefined;
  readonly #shutdown: Shutdown;
  readonly #listeners: readonly Listener[];
  #failedAt: Date | undefined;
  #source: (() => Promise<ResolvedConfig>) | undefined;
  /** The running start or reload, for which the next one waits. Undefined: not started. */
  #turn: Promise<unknown> | undefined;

  /** @throws ConfigError when a certificate cannot be used */
  constructor(config: ResolvedConfig, log: PinoLogger) {
    this.#log = log;
    const inForce = (): ResolvedConfig => this.#configVersions.inForce.config;
    const tell = (event: Events['operator']): void =>
      this.#configVersions.inForce.hooks.tell('operator', event);
    this.#shared = makeShared({
      log,
      config: inForce,
      tell,
      reload: () => this.#reloadFromSource(),
      shutDown: (after) => this.#shutdown.drainAfter(after),
      addresses: () => this.#listeners.flatMap(({ address }) => address ?? []),
    });
    const checks = (): readonly Check[] => this.#checks();
    const configVersions = new ConfigVersions(config, { log, checks, shared: this.#shared });
    this.#configVersions = configVersions;
    const { admin, listeners } = config;
    this.#admin = admin && new AdminServer(admin, (request) => configVersions.inForce.answer(request));
    this.#listeners = listeners.map((listener) => new Listener(listener, () => configVersions.inForce));
    const parts = {
      log,
      shared: this.#shared,
      configVersions,
      listeners: this.#listeners,
      admin: this.#admin,
    };
    this.#shutdown = new Shutdown(parts);
  }

  /**
   * Sets the plugins up, then listens. Where something fails, the rest is undone.
   * @throws ConfigError; Error if it was stopped meanwhile
   */
  start(): Promise<Started> {
    const started = this.#start();
    this.#turn = started.catch(() => {});
    return started;
  }

  /**
   * Puts a config, or the one that a function loads, in force for new connections; those that are there go on under
   * theirs. Either all of it is applied or nothing. One reload after the other, in the order of the calls; each is
   * logged. The plugins must be objects of their own: every config sets its plugins up.
   * @throws ConfigError for what only a restart can apply; what the load or a plugin's setup throws; Error if the
   * gateway has not started or is stopped. The config in force stays.
   */
  reload(from: ResolvedConfig | (() => Promise<ResolvedConfig>)): Promise<void> {
    if (!this.#turn) return Promise.reject(new Error('the gateway has not started'));
    const reloaded = this.#turn.then(() => this.#reload(from));
    this.#turn = reloaded.catch(() => {});
    return reloaded;
  }

  /** Where operators' RELOAD gets the config from. Default: nowhere, and a RELOAD is refused. */
  reloadsFrom(load: () => Promise<ResolvedConfig>): void {
    this.#source = load;
  }

  /**
   * Lets transactions finish, then stops: new logins get 57P03 until the end, idle sessions 57P01 at once, the others
   * when they become idle or when `drainTimeout` is over. Resolves half a second after that at the latest: what has not ended
   * by then is cut off, and stands in the log.
   */
  drain(): Promise<void> {
    return this.#shutdown.drain();
  }

  /** Resolves when it has stopped, for whatever reason. */
  get stopped(): Promise<void> {
    return this.#shutdown.over;
  }

  /** Ends every session now with 57P01 and stops. What has not ended after `withinMs` is cut off. Default 10 s. */
  stop(withinMs?: number): Promise<void> {
    return this.#shutdown.stop(withinMs);
  }

  async #start(): Promise<Started> {
    try {
      await this.#configVersions.inForce.setUp();
      const admin = await this.#admin?.listen();
      const listeners = [];
      for (const listener of this.#listeners) listeners.push(await listener.open());
      refuseIfStopped(this.#shared);
      this.#shared.statistics.start();
      for (const { name, host, port } of listeners) this.#log.info({ name, host, port }, 'listening');
      return { listeners, ...(admin && { admin }) };
    } catch (error) {
      await this.stop();
      // Listeners that opened while the others were being closed.
      await this.#shutdown.takeDownAgain();
      throw error;
    }
  }

  async #reload(from: ResolvedConfig | (() => Promise<ResolvedConfig>)): Promise<void> {
    try {
      refuseIfStopped(this.#shared);
      const { signal } = new AbortController();
      const changes = await within(RELOAD_MS, signal, tooSlow, (limit) => this.#apply(from, limit));
      this.#failedAt = undefined;
      Object.assign(this.#shared.reload, { at: Date.now(), failed: false });
      this.#log.info(changes, 'reloaded');
    } catch (error) {
      this.#failedAt = new Date();
      this.#shared.reload.failed = true;
      this.#log.error({ reason: error instanceof Error ? error.message : 'unknown' }, 'reload failed');
      throw error;
    }
  }

  async #apply(from: ResolvedConfig | (() => Promise<ResolvedConfig>), limit: AbortSignal): Promise<Changes> {
    const config = typeof from === 'function' ? await abortable(from(), limit) : from;
    return this.#configVersions.succeed(config, limit);
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
      problem: this.#shared.draining ? 'the gateway is shutting down' : undefined,
    };
    const suspended = { name: 'suspension', problem: 'an operator has suspended the gateway' };
    const known = { name: 'config', problem: undefined, note: this.#config() };
    const standstill = this.#shared.suspension.on ? [suspended] : [];
    return [...listening, draining, ...standstill, known, ...serverChecks(this.#shared.pools)];
  }

  /** The reason is for the log: everybody may ask whether the gateway is ready. */
  #config(): string {
    const failed =
      this.#failedAt && `; the reload of ${this.#failedAt.toISOString()} failed, the log says why`;
    return `as of ${this.#configVersions.since.toISOString()}${failed ?? ''}`;
  }
}

const tooSlow = (): Error => new Error(`the config was not loaded and set up within ${RELOAD_MS / 1000} s`);

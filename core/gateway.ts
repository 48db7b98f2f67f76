/** The gateway as a whole: puts the parts together, starts them, drains and stops them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminServer } from './gateway/admin.ts';
import type { Check } from './gateway/admin.ts';
import { CancelKeys } from './gateway/cancel-keys.ts';
import { describe } from './client/refuse.ts';
import type { ResolvedConfig } from './config/resolved.ts';
import { GatewayError } from './errors.ts';
import { HookSets } from './hooks.ts';
import type { House } from './gateway/house.ts';
import { Listener } from './gateway/listener.ts';
import type { Address } from './gateway/listening.ts';
import { LogSampler } from './gateway/log.ts';
import type { PinoLogger } from './gateway/log.ts';
import { PluginSetup, refuseIfStopped } from './gateway/plugin-setup.ts';
import { Pools } from './gateway/pools.ts';

/** Where a started gateway can be reached. */
export interface Started {
  readonly listeners: readonly (Address & { readonly name: string })[];
  readonly admin?: Address;
}

/** How long sessions that were told to end may take for it, in milliseconds: a cancel needs an answer of the server. */
const END_MS = 5_000;
/** The same where somebody is in a hurry. */
const STOP_MS = 1_000;
/** How long a client may take to read why it has to go, in milliseconds. */
const LAST_WORDS_MS = 500;

/** One process's gateway. Starts once and stops once. */
export class Gateway {
  readonly #config: ResolvedConfig;
  readonly #log: PinoLogger;
  readonly #house: House;
  readonly #running = new AbortController();
  readonly #admin: AdminServer | undefined;
  readonly #plugins: PluginSetup;
  readonly #listeners: readonly Listener[];
  #draining: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  /** @throws ConfigError when a certificate cannot be used */
  constructor(config: ResolvedConfig, log: PinoLogger) {
    this.#config = config;
    this.#log = log;
    this.#house = furnish(config, log);
    this.#admin = config.admin && this.#adminServer(config.admin);
    const { signal } = this.#running;
    const { directory } = config;
    this.#plugins = new PluginSetup({ house: this.#house, signal, directory, admin: this.#admin });
    this.#listeners = config.listeners.map((listener) => new Listener(listener, this.#house));
  }

  /**
   * Sets the plugins up, then listens. Where something fails, the rest is undone.
   * @throws ConfigError; Error if it was stopped meanwhile
   */
  async start(): Promise<Started> {
    try {
      await this.#plugins.setUp(this.#config.plugins);
      const admin = await this.#admin?.listen();
      const listeners = [];
      for (const listener of this.#listeners) listeners.push(await listener.open());
      refuseIfStopped(this.#house);
      for (const { name, host, port } of listeners) this.#log.info({ name, host, port }, 'listening');
      return { listeners, ...(admin && { admin }) };
    } catch (error) {
      await this.stop();
      // What came up while that took down the rest.
      await this.#takeDown();
      throw error;
    }
  }

  /** Takes new certificates for the next handshakes. @throws ConfigError, and keeps the old ones */
  reloadCertificates(): void {
    for (const listener of this.#listeners) listener.reloadCertificates();
  }

  /**
   * Lets transactions finish, then stops: new logins get 57P03 until the end, idle sessions 57P01 at once, the others
   * when they become idle or when `drainTimeout` is over.
   */
  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  /** Ends every session now with 57P01 and stops. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #drain(): Promise<void> {
    const { sessions, log } = this.#house;
    this.#house.draining = true;
    log.info({ sessions: sessions.size }, 'draining');
    for (const session of sessions) session.drain(SHUTDOWN);
    await this.#emptied(this.#config.drainTimeoutMs);
    if (sessions.size > 0) log.warn({ sessions: sessions.size }, 'the drain timeout is over');
    for (const session of sessions) session.end(SHUTDOWN);
    await this.#emptied(END_MS);
    await this.stop();
  }

  async #stop(): Promise<void> {
    this.#house.draining = true;
    for (const session of this.#house.sessions) session.end(SHUTDOWN);
    await this.#emptied(STOP_MS);
    await this.#takeDown();
    this.#log.info({}, 'stopped');
  }

  /** Can be called again. */
  async #takeDown(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close(LAST_WORDS_MS)));
    await Promise.race([this.#house.pools.close(), sleep(STOP_MS, undefined, { ref: false })]);
    this.#running.abort(SHUTDOWN);
    await this.#plugins.dispose();
    await this.#admin?.close();
  }

  /** Resolves when no session is left, or no later than `ms` from now. */
  async #emptied(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (this.#house.sessions.size > 0 && performance.now() < until && !this.#stopping) await sleep(20);
  }

  #adminServer(admin: NonNullable<ResolvedConfig['admin']>): AdminServer {
    return new AdminServer({
      admin,
      log: this.#log,
      checks: () => this.#checks(),
      verifier: () => this.#plugins.verifier,
    });
  }

  #checks(): Check[] {
    const listening = this.#listeners.map((listener) => ({
      name: `listener ${listener.name}`,
      problem: listener.bound ? undefined : 'not listening',
    }));
    const draining = {
      name: 'logins',
      problem: this.#house.draining ? 'the gateway is shutting down' : undefined,
    };
    return [...listening, draining, ...this.#plugins.checks()];
  }
}

const SHUTDOWN = new GatewayError('admin_shutdown', 'terminating connection: the gateway is shutting down');

function furnish(config: ResolvedConfig, log: PinoLogger): House {
  return {
    config,
    hooks: new HookSets(config.plugins, (plugin, event, error) => {
      log.error({ plugin, event, error: describe(error) }, 'an observer failed');
    }),
    pools: new Pools(),
    cancelKeys: new CancelKeys(),
    sessions: new Set(),
    log,
    sampler: new LogSampler(),
    draining: false,
  };
}

/** The config in force and its predecessors that are still in use, and the change from one to the next. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { changesBetween } from './changes.ts';
import { REVOKED } from './client-certificates.ts';
import type { Changes } from './changes.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import { ConfigVersion } from './config-version.ts';
import type { ConfigVersionOptions } from './config-version.ts';
import { ReloadStorage } from './reload-storage.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import { refuseIfStopped } from './plugin-setup.ts';
import { refuseRestart } from './restart.ts';
import { abortable } from '../upstream/deadline.ts';

/** The options of all config versions. */
export type ConfigVersionsOptions = Pick<ConfigVersionOptions, 'shared' | 'log' | 'checks' | 'readiness'>;

/** A config that only waits to be put in force. Call `commit` or `abort`, once. */
export interface PreparedConfig {
  readonly changes: Changes;
  /** Puts it in force: nothing can fail. */
  commit(): void;
  /** Disposes of it. Never rejects. */
  abort(): Promise<void>;
}

const OVER = new Error('the config is not in force any more');

/** Every config that is in force or still in use. */
export class ConfigVersions {
  readonly #options: ConfigVersionsOptions;
  readonly #reloadStorage = new ReloadStorage();
  readonly #all = new Set<ConfigVersion>();
  #inForce: ConfigVersion;
  #since = new Date();

  /** Starts with a config that is in force at once. @throws ConfigError when a certificate cannot be used */
  constructor(config: ResolvedConfig, options: ConfigVersionsOptions) {
    this.#options = options;
    this.#inForce = this.#add(config, options.log);
  }

  /** The config for new connections. */
  get inForce(): ConfigVersion {
    return this.#inForce;
  }

  /** When it came into force. */
  get since(): Date {
    return this.#since;
  }

  /**
   * Makes everything that a config needs: a {@link PreparedConfig.commit} puts it in force, an `abort` undoes it. One after the other.
   * @throws ConfigError for what only a restart can apply; what a plugin's setup throws; Error if the gateway stops; the
   * reason of `limit` if that is aborted before. Then nothing is left of it
   */
  async prepare(config: ResolvedConfig, limit: AbortSignal): Promise<PreparedConfig> {
    const { log, shared } = this.#options;
    const before = this.#inForce;
    refuseRestart(before.config, config);
    // The log may have been made with a level of its own.
    const level = config.logLevel === before.config.logLevel ? log.level : config.logLevel;
    const after = this.#add(config, log.child({}, { level }), before);
    const changes = await changesBetween(before, after);
    const settingUp = after.setUp();
    try {
      await abortable(settingUp, limit);
      refuseIfStopped(shared);
    } catch (error) {
      await this.#end(after);
      // A plugin that was too slow may finish its setup later.
      void settingUp.catch(() => after.end(OVER));
      throw error;
    }
    return {
      changes,
      commit: () => this.#putInForce(after, level),
      abort: () => this.#end(after),
    };
  }

  /** Ends all of them now, in use or not, `until` a time by `performance.now()`. Can be called again. Never rejects. */
  async end(why: Error, until?: () => number): Promise<void> {
    for (const configVersion of this.#all) await configVersion.end(why, until);
    // What listeners of a signal throw is reported then, as the plugin's.
    await nextTurn();
  }

  #putInForce(after: ConfigVersion, level: string): void {
    const { log, shared } = this.#options;
    const before = this.#inForce;
    this.#inForce = after;
    this.#since = new Date();
    log.level = level;
    before.successor = after;
    for (const session of shared.sessions) if (after.revokes(session.client)) session.end(REVOKED);
    void this.#retire(before);
  }

  #add(config: ResolvedConfig, log: PinoLogger, before?: ConfigVersion): ConfigVersion {
    const { shared, checks, readiness } = this.#options;
    const configVersion = new ConfigVersion({
      config,
      log,
      checks,
      readiness,
      before,
      shared,
      reloadStorage: this.#reloadStorage,
    });
    this.#all.add(configVersion);
    return configVersion;
  }

  async #retire(configVersion: ConfigVersion): Promise<void> {
    await this.#closePools();
    await configVersion.emptied();
    await this.#end(configVersion);
    // A login that had begun before may have used one of them once more.
    await this.#closePools();
  }

  /** Closes pools of entries that were removed or have changed, once they are unused. */
  #closePools(): Promise<void> {
    return this.#options.shared.pools.retain(async (entry) => this.#inForce.config.database(entry));
  }

  async #end(configVersion: ConfigVersion): Promise<void> {
    await configVersion.end(OVER);
    this.#all.delete(configVersion);
    const plugins = [...this.#all].flatMap(({ config }) => config.plugins.map(({ name }) => name));
    this.#reloadStorage.retain(new Set(plugins));
  }
}

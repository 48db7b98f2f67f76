/** Reloads of one gateway, one after the other: each is prepared, which may fail, then committed, which cannot, or aborted. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ResolvedConfig } from '../config/resolved.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import { abortable, within } from '../upstream/deadline.ts';
import type { ConfigVersions, PreparedConfig } from './config-versions.ts';
import { refuseIfStopped } from './plugin-setup.ts';
import type { Shared } from './shared.ts';

/** A config, or the function that loads it. */
export type ConfigSource = ResolvedConfig | (() => Promise<ResolvedConfig>);

interface ConfigReloadParts {
  readonly log: PinoLogger;
  readonly shared: Shared;
  readonly configVersions: ConfigVersions;
  /** Hears of each config that has come into force. */
  readonly applied: (config: ResolvedConfig) => void;
}

/** How long a config may take to be loaded and set up, in milliseconds: one that never ends must not keep the next from its turn. */
const RELOAD_MS = 60_000;

/** One per gateway. */
export class ConfigReload {
  readonly #parts: ConfigReloadParts;
  #failedAt: Date | undefined;
  /** The running start or reload, for which the next one waits. Undefined: not started. */
  #turn: Promise<unknown> | undefined;

  constructor(parts: ConfigReloadParts) {
    this.#parts = parts;
  }

  /** The gateway is being started: from now on it can be reloaded, once that is over. */
  startsWith(started: Promise<unknown>): void {
    this.#turn = started.catch(() => {});
  }

  /** See `Gateway.reload`. */
  reload(from: ConfigSource): Promise<void> {
    if (!this.#turn) return Promise.reject(notStarted());
    const reloaded = this.#turn.then(() => this.#reload(from));
    this.#turn = reloaded.catch(() => {}).then(unusedGone);
    return reloaded;
  }

  /** See `Gateway.prepareReload`. */
  prepare(from: ConfigSource, calledOff: AbortSignal): Promise<PreparedConfig> {
    if (!this.#turn) return Promise.reject(notStarted());
    const turn = this.#turn.then(() => this.#turnOf(from, calledOff));
    this.#turn = turn
      .then(({ over }) => over)
      .catch(() => {})
      .then(unusedGone);
    return turn.then(({ prepared }) => prepared);
  }

  /** A reload has not been applied, whoever's fault it was. */
  failed(): void {
    this.#failedAt = new Date();
    this.#parts.shared.reload.failed = true;
  }

  /** Of the config in force. The reason of a failure is for the log: everybody may ask whether the gateway is ready. */
  get note(): string {
    const failed =
      this.#failedAt && `; the reload of ${this.#failedAt.toISOString()} failed, the log says why`;
    return `as of ${this.#parts.configVersions.since.toISOString()}${failed ?? ''}`;
  }

  async #reload(from: ConfigSource): Promise<void> {
    const { log, shared } = this.#parts;
    try {
      const prepared = await this.#prepare(from, new AbortController().signal);
      // A stop may have begun with the last step.
      if (shared.draining) await prepared.abort();
      refuseIfStopped(shared);
      prepared.commit();
      log.info(prepared.changes, 'reloaded');
    } catch (error) {
      this.failed();
      log.error({ reason: error instanceof Error ? error.message : 'unknown' }, 'reload failed');
      throw error;
    }
  }

  async #turnOf(
    from: ConfigSource,
    calledOff: AbortSignal,
  ): Promise<{ readonly prepared: PreparedConfig; readonly over: Promise<void> }> {
    const prepared = await this.#prepare(from, calledOff);
    let end = (): void => {};
    const over = new Promise<void>((resolve) => (end = resolve));
    const { changes } = prepared;
    const commit = (): void => {
      prepared.commit();
      end();
    };
    const abort = async (): Promise<void> => {
      await prepared.abort();
      end();
    };
    return { prepared: { changes, commit, abort }, over };
  }

  async #prepare(from: ConfigSource, calledOff: AbortSignal): Promise<PreparedConfig> {
    const { shared } = this.#parts;
    refuseIfStopped(shared);
    return within(RELOAD_MS, calledOff, tooSlow, (limit) => this.#load(from, limit));
  }

  async #load(from: ConfigSource, limit: AbortSignal): Promise<PreparedConfig> {
    const { configVersions, shared, applied } = this.#parts;
    const config = typeof from === 'function' ? await abortable(from(), limit) : from;
    const prepared = await configVersions.prepare(config, limit);
    const commit = (): void => {
      prepared.commit();
      this.#failedAt = undefined;
      Object.assign(shared.reload, { at: Date.now(), failed: false });
      if (!shared.draining) applied(config);
    };
    return { ...prepared, commit };
  }
}

const notStarted = (): Error => new Error('the gateway has not started');
const tooSlow = (): Error => new Error(`the config was not loaded and set up within ${RELOAD_MS / 1000} s`);
/** A former config without connections is disposed of by then, and what its plugins kept is forgotten. */
const unusedGone = (): Promise<void> => nextTurn();

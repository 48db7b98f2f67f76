/** What operators do to a running gateway, whichever way they come: each verb is logged with who did it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ResolvedConfig } from '../config/resolved.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Events } from '../contract/events.ts';
import type { Operations, Operator, ShutdownAfter } from '../contract/operations.ts';
import { abortable } from '../upstream/deadline.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import type { OperatorState } from './operator-state.ts';
import type { Pools } from './pools.ts';
import type { WorkerOperations } from './worker-operations.ts';

/** What operations are done to. */
export interface OperationsParts {
  readonly pools: Pools;
  /** What holds until it is taken back. */
  readonly state: OperatorState;
  /** What is done at once, and what is waited for. */
  readonly workers: WorkerOperations;
  readonly log: PinoLogger;
  /** Hears of each order. */
  readonly tell: (event: Events['operator']) => void;
  /** The config in force. */
  readonly config: () => Pick<ResolvedConfig, 'database'>;
  /** @throws GatewayError where there is nothing to reload from; what the reload throws */
  readonly reload: () => Promise<void>;
  /** Stops the gateway as a drain does. */
  readonly shutDown: (after: ShutdownAfter | undefined) => Promise<void>;
}

/** How long a KILL waits for those it has told to go, in milliseconds. */
const KILL_MS = 5_000;
const CALLED_OFF = new GatewayError('query_canceled', 'the pause was called off by a RESUME');

interface Pausing {
  readonly entry: string | undefined;
  readonly off: AbortController;
}

/** The service `operations`: one per gateway. */
export class GatewayOperations implements Operations {
  readonly #parts: OperationsParts;
  readonly #pausing = new Set<Pausing>();

  constructor(parts: OperationsParts) {
    this.#parts = parts;
    parts.state.watchResumes(() => this.#callOff());
  }

  async known(name: string): Promise<void> {
    const found = name === '*' ? undefined : await this.#parts.config().database(name);
    if (found) return;
    throw new GatewayError('invalid_catalog_name', `no such database: ${name}`);
  }

  async pause(by: Operator, name: string | undefined, signal: AbortSignal): Promise<void> {
    await this.#begin('PAUSE', by, name);
    const pausing = { entry: name, off: new AbortController() };
    this.#pausing.add(pausing);
    try {
      const either = AbortSignal.any([signal, pausing.off.signal]);
      await abortable(this.#parts.state.hold('paused', name), either);
      await this.#parts.workers.everywhere('emptied', name, either);
    } finally {
      this.#pausing.delete(pausing);
    }
  }

  async resume(by: Operator, name: string | undefined): Promise<void> {
    await this.#begin('RESUME', by, name);
    const { state } = this.#parts;
    await Promise.all([name === undefined && state.resume(), state.release('paused', name)]);
  }

  async disable(by: Operator, name: string): Promise<void> {
    await this.#begin('DISABLE', by, name);
    await this.#parts.state.hold('disabled', name);
  }

  async enable(by: Operator, name: string): Promise<void> {
    await this.#begin('ENABLE', by, name);
    await this.#parts.state.release('disabled', name);
  }

  async reconnect(by: Operator, name: string | undefined): Promise<void> {
    await this.#begin('RECONNECT', by, name);
    await this.#parts.workers.reconnect(name);
  }

  async waitClose(by: Operator, name: string | undefined, signal: AbortSignal): Promise<void> {
    await this.#begin('WAIT_CLOSE', by, name);
    await this.#parts.workers.everywhere('replaced', name, signal);
  }

  async suspend(by: Operator, signal: AbortSignal, left?: AbortSignal): Promise<void> {
    this.#log('SUSPEND', by, {});
    const { state, workers } = this.#parts;
    const resume = await state.suspend(left !== undefined);
    left?.addEventListener('abort', resume, { once: true });
    if (left?.aborted) resume();
    try {
      await workers.everywhere('flushed', undefined, signal);
    } catch (error) {
      resume();
      throw error;
    }
  }

  shutDown(by: Operator, after: ShutdownAfter | undefined): void {
    this.#log('SHUTDOWN', by, { ...(after && { after }) });
    setImmediate(() => void this.#parts.shutDown(after));
  }

  async kill(by: Operator, name: string): Promise<void> {
    await this.#begin('KILL', by, name);
    const over = new AbortController();
    const gone = this.#kill(name, over.signal);
    gone.catch(() => {});
    await Promise.race([gone, sleep(KILL_MS, undefined, { ref: false })]);
    over.abort();
  }

  async endSession(by: Operator, id: string): Promise<void> {
    const end = await this.#parts.workers.findSession(id);
    if (!end) throw new GatewayError('invalid_parameter_value', `no such client: ${id}`);
    this.#log('KILL_CLIENT', by, { client: id });
    await end();
  }

  async reload(by: Operator): Promise<void> {
    this.#log('RELOAD', by, {});
    try {
      await this.#parts.reload();
    } catch (error) {
      if (error instanceof GatewayError) throw error;
      const why = error instanceof Error ? error.message : 'unknown';
      throw new GatewayError('config_file_error', `the config was not reloaded: ${why}`, { cause: error });
    }
  }

  /** Each worker has the pause before it is asked to end sessions: messages come in order. */
  async #kill(name: string, signal: AbortSignal): Promise<void> {
    const { state, workers } = this.#parts;
    await Promise.all([state.hold('paused', name), workers.kill(name)]);
    await workers.everywhere('emptied', name, signal);
  }

  #callOff(): void {
    for (const { entry, off } of this.#pausing) if (!this.#parts.pools.isPaused(entry)) off.abort(CALLED_OFF);
  }

  async #begin(verb: string, by: Operator, name: string | undefined): Promise<void> {
    if (name !== undefined) await this.known(name);
    this.#log(verb, by, { database: name ?? 'all' });
  }

  #log(verb: string, { identity, via }: Operator, target: Readonly<Record<string, string>>): void {
    const { issuer, subject } = identity;
    this.#parts.log.info({ verb, ...target, issuer, subject, via }, 'operator');
    this.#parts.tell({ by: { issuer, subject }, via, verb, target });
  }
}

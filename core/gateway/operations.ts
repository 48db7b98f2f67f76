/** What operators do to a running gateway, whichever way they come: each verb is logged with who did it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../contract/errors.ts';
import type { FleetOperations, Operations, Operator, ShutdownAfter } from '../contract/operations.ts';
import { abortable } from '../upstream/deadline.ts';
import { refuseHeldByFleet } from './fleet-operations.ts';
import type { GivenOrders } from './given-orders.ts';
import type { OperatorState } from './operator-state.ts';
import { Pausing } from './pausing.ts';
import type { WorkerOperations } from './worker-operations.ts';

/** What operations are done to. */
export interface OperationsParts {
  /** What holds until it is taken back. */
  readonly state: OperatorState;
  /** What is done at once, and what is waited for. */
  readonly workers: WorkerOperations;
  readonly orders: GivenOrders;
  /** Undefined: the gateway is in no fleet. */
  readonly fleet: FleetOperations | undefined;
  /** @throws GatewayError where there is nothing to reload from; what the reload throws */
  readonly reload: () => Promise<void>;
  /** Stops the gateway as a drain does. */
  readonly shutDown: (after: ShutdownAfter | undefined) => Promise<void>;
}

/** How long a KILL waits for those it has told to go, in milliseconds. */
const KILL_MS = 5_000;
/** The service `operations`: one per gateway. */
export class GatewayOperations implements Operations {
  readonly #parts: OperationsParts;
  readonly #pausing: Pausing;

  constructor(parts: OperationsParts) {
    this.#parts = parts;
    this.#pausing = new Pausing(parts.state, 'gateway');
  }

  get fleet(): FleetOperations | undefined {
    return this.#parts.fleet;
  }

  known(name: string): Promise<void> {
    return this.#parts.orders.known(name);
  }

  async pause(by: Operator, name: string | undefined, signal: AbortSignal): Promise<void> {
    await this.#begin('PAUSE', by, name);
    const { state, workers } = this.#parts;
    await this.#pausing.until(name, signal, async (either) => {
      await abortable(state.hold('paused', name), either);
      await workers.everywhere('emptied', name, either);
    });
  }

  async resume(by: Operator, name: string | undefined): Promise<void> {
    await this.#begin('RESUME', by, name);
    const { state } = this.#parts;
    await Promise.all([name === undefined && state.resume(), state.release('paused', name)]);
    refuseHeldByFleet(state, 'paused', name);
  }

  async disable(by: Operator, name: string): Promise<void> {
    await this.#begin('DISABLE', by, name);
    await this.#parts.state.hold('disabled', name);
  }

  async enable(by: Operator, name: string): Promise<void> {
    await this.#begin('ENABLE', by, name);
    const { state } = this.#parts;
    await state.release('disabled', name);
    refuseHeldByFleet(state, 'disabled', name);
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
    this.#parts.orders.log('SUSPEND', by, {});
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
    this.#parts.orders.log('SHUTDOWN', by, { ...(after && { after }) });
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
    this.#parts.orders.log('KILL_CLIENT', by, { client: id });
    await end();
  }

  async reload(by: Operator): Promise<void> {
    this.#parts.orders.log('RELOAD', by, {});
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

  #begin(verb: string, by: Operator, name: string | undefined): Promise<void> {
    return this.#parts.orders.begin(verb, by, name);
  }
}

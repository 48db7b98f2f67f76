/** What operators do to a running gateway, whichever way they come: each verb is logged with who did it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ResolvedConfig, ResolvedDatabase } from '../config/resolved.ts';
import type { OpenSession } from '../connection/open-session.ts';
import { GatewayError } from '../errors.ts';
import type { Identity } from '../facts.ts';
import type { Events } from '../events.ts';
import type { Channel } from '../net/channel.ts';
import { abortable } from '../upstream/deadline.ts';
import type { PinoLogger } from './log.ts';
import type { Pools } from './pools.ts';
import type { Suspension } from './suspension.ts';

/** Who does something, on which way. The caller has checked that it is an operator. */
export interface Operator {
  readonly identity: Pick<Identity, 'issuer' | 'subject'>;
  readonly via: 'http' | 'console';
}

/** What operations are done to. */
export interface OperationsParts {
  readonly pools: Pools;
  readonly sessions: ReadonlySet<OpenSession>;
  readonly suspension: Suspension;
  /** What a suspension stops: all but the console. */
  readonly channels: () => Iterable<Channel>;
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

/** What a shutdown waits for before it drains: clients to leave, or server connections to be given back. */
export type ShutdownAfter = 'clients' | 'servers';

/** How long a KILL waits for those it has told to go, in milliseconds. */
const KILL_MS = 5_000;
const KILLED = new GatewayError('admin_shutdown', 'terminating connection due to administrator command');
const CALLED_OFF = new GatewayError('query_canceled', 'the pause was called off by a RESUME');

interface Pausing {
  readonly entry: string | undefined;
  readonly off: AbortController;
}

/** One per gateway. Names are those that clients use. */
export class Operations {
  readonly #parts: OperationsParts;
  readonly #pausing = new Set<Pausing>();

  constructor(parts: OperationsParts) {
    this.#parts = parts;
  }

  /** The entry of this name. @throws GatewayError `invalid_catalog_name` where there is none */
  async entry(name: string): Promise<ResolvedDatabase> {
    const found = name === '*' ? undefined : await this.#parts.config().database(name);
    if (found) return found;
    throw new GatewayError('invalid_catalog_name', `no such database: ${name}`);
  }

  /**
   * Lends no server connection of an entry, or of any, until a RESUME; those in use serve to the end of their transaction,
   * in session mode of their session, and are closed. Resolves when none is left.
   * @throws GatewayError as {@link entry}; `query_canceled` if it was resumed before; the reason of `signal`, which ends
   * the wait and not the pause
   */
  async pause(by: Operator, name: string | undefined, signal: AbortSignal): Promise<void> {
    await this.#begin('PAUSE', by, name);
    const pausing = { entry: name, off: new AbortController() };
    this.#pausing.add(pausing);
    try {
      const either = AbortSignal.any([signal, pausing.off.signal]);
      await abortable(this.#parts.pools.pause(name), either);
    } finally {
      this.#pausing.delete(pausing);
    }
  }

  /**
   * Takes a PAUSE or a KILL back, and without a name a SUSPEND. What is not paused stays as it is.
   * @throws GatewayError as {@link entry}
   */
  async resume(by: Operator, name: string | undefined): Promise<void> {
    await this.#begin('RESUME', by, name);
    const { pools, suspension } = this.#parts;
    if (name === undefined) suspension.end();
    pools.resume(name);
    for (const { entry, off } of this.#pausing) if (!pools.isPaused(entry)) off.abort(CALLED_OFF);
  }

  /** Lets no new session to an entry until {@link enable}: 55000. Those that are open go on. @throws GatewayError as {@link entry} */
  async disable(by: Operator, name: string): Promise<void> {
    await this.#begin('DISABLE', by, name);
    this.#parts.pools.disable(name);
  }

  /** Takes a DISABLE back. @throws GatewayError as {@link entry} */
  async enable(by: Operator, name: string): Promise<void> {
    await this.#begin('ENABLE', by, name);
    this.#parts.pools.enable(name);
  }

  /** Has every server connection replaced once it is free. @throws GatewayError as {@link entry} */
  async reconnect(by: Operator, name: string | undefined): Promise<void> {
    await this.#begin('RECONNECT', by, name);
    this.#parts.pools.reconnect(name);
  }

  /**
   * Resolves when no server connection of an entry, or of any, is left that has to be closed: after a RECONNECT, or a RELOAD
   * that has changed the entry. @throws GatewayError as {@link entry}; the reason of `signal`
   */
  async waitClose(by: Operator, name: string | undefined, signal: AbortSignal): Promise<void> {
    await this.#begin('WAIT_CLOSE', by, name);
    await this.#parts.pools.replaced(name, signal);
  }

  /**
   * Reads nothing from clients and servers until a RESUME of all; who comes waits, for `loginTimeout` at most. Resolves when everything
   * is written that was to be. `left`: it goes on when the operator has left. @throws GatewayError
   * `object_not_in_prerequisite_state` if it is suspended already; the reason of `signal`, and then it goes on
   */
  async suspend(by: Operator, signal: AbortSignal, left?: AbortSignal): Promise<void> {
    this.#log('SUSPEND', by, {});
    const { suspension, channels } = this.#parts;
    const resume = suspension.begin(channels);
    left?.addEventListener('abort', resume, { once: true });
    try {
      await suspension.flushed(signal);
    } catch (error) {
      resume();
      throw error;
    }
  }

  /** Has the gateway drain and stop once this has been answered: at once, or when what is named has come to pass. */
  shutDown(by: Operator, after: ShutdownAfter | undefined): void {
    this.#log('SHUTDOWN', by, { ...(after && { after }) });
    setImmediate(() => void this.#parts.shutDown(after));
  }

  /**
   * Pauses an entry and ends all its sessions with 57P01, whatever they do. Resolves when its connections are gone, or after
   * 5 s. @throws GatewayError as {@link entry}
   */
  async kill(by: Operator, name: string): Promise<void> {
    await this.#begin('KILL', by, name);
    const gone = this.#parts.pools.pause(name);
    for (const session of this.#parts.sessions) if (session.upstream?.entry === name) session.end(KILLED);
    await Promise.race([gone, sleep(KILL_MS, undefined, { ref: false })]);
  }

  /** Ends one session with 57P01. @throws GatewayError `invalid_parameter_value` where there is none with this id */
  endSession(by: Operator, id: string): void {
    const session = [...this.#parts.sessions].find((one) => one.id === id && !one.reason);
    if (!session) throw new GatewayError('invalid_parameter_value', `no such client: ${id}`);
    this.#log('KILL_CLIENT', by, { client: id });
    session.end(KILLED);
  }

  /** Loads the config anew. @throws GatewayError `config_file_error` with the reason; the config in force stays then */
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

  async #begin(verb: string, by: Operator, name: string | undefined): Promise<void> {
    if (name !== undefined) await this.entry(name);
    this.#log(verb, by, { database: name ?? 'all' });
  }

  #log(verb: string, { identity, via }: Operator, target: Readonly<Record<string, string>>): void {
    const { issuer, subject } = identity;
    this.#parts.log.info({ verb, ...target, issuer, subject, via }, 'operator');
    this.#parts.tell({ by: { issuer, subject }, via, verb, target });
  }
}

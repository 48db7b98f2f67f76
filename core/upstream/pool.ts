/** Hands out server connections of one database entry: today a new one per session, and never more than `size`. */
import type { DatabaseOptions } from '../config.ts';
import { GatewayError } from '../errors.ts';
import type { Startup, Upstream } from '../session.ts';
import { whenClosed } from './closing.ts';
import type { ServerConnection } from './connection.ts';
import { open } from './open.ts';
import type { Timeouts } from './open.ts';
import { Slots } from './slots.ts';
import type { Vacate } from './slots.ts';

/** What a pool is made for. */
export interface PoolOptions {
  /** The key of `databases`. */
  readonly entry: string;
  readonly database: DatabaseOptions;
  /** Default: those of {@link Timeouts}, and `queueMs` 10000. */
  readonly timeouts?: Timeouts & { readonly queueMs?: number };
}

/** Who wants a connection. */
export interface AcquireRequest {
  /** The entry as it is now, where a function has made it anew. Default: the one the pool was made for. */
  readonly database?: DatabaseOptions;
  readonly upstream: Upstream;
  readonly startup: Startup;
  /** The client's `replication` parameter as it was given. */
  readonly replication?: string | undefined;
  /** Aborted when the session ends; what waits or connects for it then stops at once. */
  readonly signal: AbortSignal;
}

/** The server connections of one database entry. Every connection acquired has to be released once. */
export class Pool {
  readonly #options: PoolOptions;
  readonly #slots: Slots;
  readonly #lent = new Map<ServerConnection, Vacate>();
  readonly #acquiring = new Set<AbortController>();
  #closed = false;
  readonly #emptied: (() => void)[] = [];

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#slots = new Slots(options.database.pool?.size ?? 20);
  }

  /** Most connections at once. */
  get limit(): number {
    return this.#slots.size;
  }

  /** Connections that exist now: being opened, lent, and released but not closed by the server yet. */
  get size(): number {
    return this.#slots.used;
  }

  /** Connections lent now. */
  get lent(): number {
    return this.#lent.size;
  }

  /** Requests in the queue. */
  get waiting(): number {
    return this.#slots.waiting;
  }

  /**
   * A verified connection for one session, in the order of the requests.
   * @throws GatewayError `too_many_connections` when none became free in time, `cannot_connect_now` once the pool is
   * closing, what {@link open} throws, or the signal's reason
   */
  async acquire(request: AcquireRequest): Promise<ServerConnection> {
    if (this.#closed) throw shuttingDown();
    const stop = new AbortController();
    const follow = (): void => stop.abort(request.signal.reason);
    request.signal.throwIfAborted();
    request.signal.addEventListener('abort', follow);
    this.#acquiring.add(stop);
    try {
      return await this.#open(request, stop.signal);
    } finally {
      this.#acquiring.delete(stop);
      request.signal.removeEventListener('abort', follow);
    }
  }

  /**
   * Takes a connection back; resolves when the server has closed it, until then it counts. `reusable` says that the
   * server is idle and owes nothing: a later pool keeps such a connection. Unknown connections are ignored.
   */
  async release(connection: ServerConnection, _how: 'reusable' | 'close'): Promise<void> {
    const vacate = this.#lent.get(connection);
    if (!vacate) return;
    this.#lent.delete(connection);
    const closed = whenClosed(connection.channel);
    connection.close();
    await closed;
    this.#vacate(vacate);
  }

  /** Refuses whoever waits or comes, closes what is lent, and resolves when no connection is left. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#acquiring) stop.abort(shuttingDown());
    await Promise.all([...this.#lent.keys()].map((connection) => this.release(connection, 'close')));
    if (this.size > 0) await new Promise<void>((resolve) => this.#emptied.push(resolve));
  }

  async #open(request: AcquireRequest, signal: AbortSignal): Promise<ServerConnection> {
    const { queueMs = 10_000 } = this.#options.timeouts ?? {};
    const vacate = await this.#slots.take(queueMs, signal);
    try {
      const connection = await open({ ...this.#options, ...request, signal });
      // Whoever asked may have left while the last step resolved.
      if (signal.aborted) connection.channel.destroy();
      signal.throwIfAborted();
      this.#lent.set(connection, vacate);
      return connection;
    } catch (error) {
      this.#vacate(vacate);
      throw error;
    }
  }

  #vacate(vacate: Vacate): void {
    vacate();
    if (this.size > 0) return;
    for (const emptied of this.#emptied.splice(0)) emptied();
  }
}

function shuttingDown(): GatewayError {
  return new GatewayError('cannot_connect_now', 'the gateway is shutting down');
}

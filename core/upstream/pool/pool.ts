/** The server connections of one database entry: kept open, lent to one session at a time, reset between two identities. */
import { setMaxListeners } from 'node:events';
import type { DatabaseOptions } from '../../contract/database.ts';
import { GatewayError } from '../../contract/errors.ts';
import type { Logger, Upstream } from '../../contract/session.ts';
import type { ServerConnection } from '../connection.ts';
import type { Hosts } from '../hosts/hosts.ts';
import { SessionSettings } from '../session-settings.ts';
import type { Timeouts } from '../open.ts';
import type { PendingCloses } from './maintenance.ts';
import type { KnownFunctions } from '../known-functions.ts';
import type { RefusedRoles } from '../login-backoff.ts';
import type { ConnectionSlots, SlotLimits } from './connection-slots.ts';
import { limitsOf } from './limits.ts';
import type { Limits } from './limits.ts';
import type { Clock } from '../clock.ts';
import { machineClock } from '../clock.ts';
import { waiterOf } from './checkout-request.ts';
import type { AcquireRequest, CheckOutListener, Holder, Waiter } from './checkout-request.ts';
import type { PooledServer, PooledServers } from './pooled-servers.ts';
import type { Condition } from './idle-connections.ts';
import { PoolParts } from './pool-parts.ts';
import type { Outdated, ReportedParameters } from '../reported-parameters.ts';

/** The options of a pool. */
export interface PoolSetup {
  /** The key of `databases`. */
  readonly entry: string;
  readonly database: DatabaseOptions;
  /** Default: those of {@link Timeouts}; `queueMs` and the like beat the entry's own. */
  readonly timeouts?: Timeouts & Partial<Limits>;
  /** Default: nothing is logged. */
  readonly log?: Logger;
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** Called at each connection that has logged in. */
  readonly connected?: () => void;
  /** Makes the slots of a pool of which other workers have one of the same entry. Default: none have. */
  readonly slots?: ((limits: SlotLimits) => ConnectionSlots) | undefined;
  /** What is known of roles that the server refuses, where other workers have such a pool. Default: none have. */
  readonly refusedRoles?: RefusedRoles | undefined;
  /** Tells other workers that have such a pool what PostgreSQL has contradicted of earlier logins. Default: none have. */
  readonly outdated?: ((what: Outdated) => void) | undefined;
  /** As `slots`, for sessions in session mode. Used where a client may choose that. */
  readonly sessionSlots?: ((limits: SlotLimits) => ConnectionSlots) | undefined;
}

const GIVEN_BACK = Promise.resolve();

/** Every connection that is checked out has to be checked in once. */
export class Pool {
  readonly #limits: Limits;
  readonly #database: DatabaseOptions;
  readonly #parts: PoolParts;
  readonly #servers = new WeakMap<ServerConnection, PooledServer>();
  readonly #slots: ConnectionSlots | undefined;
  readonly #sessionSlots: ConnectionSlots | undefined;
  readonly #closing = new AbortController();

  constructor(setup: PoolSetup) {
    const { database, timeouts = {}, clock = machineClock } = setup;
    const closing = this.#closing.signal;
    // Each connection that is being opened, reset or prepared listens: many listeners are no leak.
    setMaxListeners(0, closing);
    this.#database = database;
    const limits = { ...limitsOf(database.pool), ...timeouts };
    this.#slots = setup.slots?.(limits);
    const chooses = database.pool?.mode === 'transaction' && database.pool.clientMode === 'choose';
    this.#sessionSlots = chooses ? setup.sessionSlots?.(sessionLimits(limits)) : undefined;
    this.#limits = this.#slots ? withShareOf(limits, this.#slots) : limits;
    this.#parts = new PoolParts({
      ...setup,
      limits: this.#limits,
      clock,
      closing,
      slots: this.#slots,
      sessionSlots: this.#sessionSlots,
      opened: (server) => {
        if (server.connection) this.#servers.set(server.connection, server);
        setup.connected?.();
      },
    });
  }

  /** Most connections at once, without the reserve. */
  get limit(): number {
    return this.#limits.size;
  }

  /** Its entry. */
  get database(): DatabaseOptions {
    return this.#database;
  }

  /** Connections in all states below, and those that the server has not closed yet. */
  get size(): number {
    return this.#parts.state.servers.size;
  }

  /** Connections that wait for a session. */
  get idle(): number {
    return this.#parts.state.servers.counts.idle;
  }

  /** Connections lent now, or about to be. */
  get lent(): number {
    return this.#parts.state.servers.counts.lent;
  }

  /** Connections that are being opened. */
  get opening(): number {
    return this.#parts.state.servers.counts.opening;
  }

  /** Connections that are being reset. */
  get resetting(): number {
    return this.#parts.state.servers.counts.resetting;
  }

  /** The server refuses the login of a role, or there are no credentials: the next attempt waits. */
  get loginsPaused(): boolean {
    return this.#parts.connector.guarded;
  }

  /** Requests in the queue. */
  get waiting(): number {
    return this.#parts.state.waiting.size;
  }

  /** Its servers. */
  get hosts(): Hosts {
    return this.#parts.hosts;
  }

  /** Its connections that have to be closed. */
  get pendingCloses(): PendingCloses {
    return this.#parts.pendingCloses;
  }

  /** The logins that need no connection. */
  get reported(): ReportedParameters {
    return this.#parts.reported;
  }

  /** It has no state that a new pool would lack. */
  get unused(): boolean {
    return this.size === 0 && this.waiting === 0 && !this.loginsPaused;
  }

  /** Its connections, for operators and for sessions in transaction mode. */
  get servers(): PooledServers {
    return this.#parts.state.servers;
  }

  /** Why there is no server for a session now; undefined where there is one. */
  absence({ target = this.#parts.hosts.target }: Upstream): GatewayError | undefined {
    return this.#parts.hosts.absence(target);
  }

  /** Whether `min` applies: not where the entry has changed and no session will use the connections. Default true. */
  keepMinimum(is: boolean): void {
    this.#parts.maintenance.keepsMinimum = is;
  }

  // ---- sessions ----

  /** The request that a session uses for each of its transactions. @throws GatewayError without a role */
  waiter(request: AcquireRequest, listener: CheckOutListener): Waiter {
    return waiterOf(request, listener, { database: this.#database, target: this.hosts.target });
  }

  /**
   * A verified connection without state of another session and with all settings of this one; undefined: the listener is called
   * later, with the errors of {@link Pool.acquire}. Identities are served in rotation.
   */
  checkOut(waiter: Waiter): ServerConnection | undefined {
    return this.#parts.checkOuts.checkOut(waiter);
  }

  /** Ends a request: its listener is not called. */
  cancel(waiter: Waiter, reason?: unknown): void {
    this.#parts.checkOuts.cancel(waiter, reason);
  }

  /**
   * Lends a connection that `holder` has checked in, unchanged, if no other session has had it since: without a message or a
   * wait. False: use {@link Pool.checkOut}.
   */
  checkOutSame(connection: ServerConnection, holder: Holder): boolean {
    const server = this.#servers.get(connection);
    return (
      server !== undefined && !this.#closing.signal.aborted && this.#parts.state.checkOutSame(server, holder)
    );
  }

  /** Takes a connection back: the next in the queue may have it before this returns. Unknown connections are ignored. */
  checkIn(connection: ServerConnection, how: Condition): void {
    const server = this.#servers.get(connection);
    if (server) this.#parts.state.checkIn(server, how);
  }

  /** The settings in force on a lent connection. */
  settingsOn(connection: ServerConnection): SessionSettings {
    return this.#servers.get(connection)?.applied ?? SessionSettings.none;
  }

  /** A transaction has changed the settings on a lent connection: these are in force now. */
  noteSettings(connection: ServerConnection, applied: SessionSettings): void {
    const server = this.#servers.get(connection);
    if (server) server.applied = applied;
  }

  /**
   * As {@link Pool.checkOut}, for a login.
   * @throws GatewayError `too_many_connections` when none became free in time, `cannot_connect_now` once the pool is
   * closing, any error of {@link open} or of settings of the session, or the signal's reason
   */
  acquire(request: AcquireRequest): Promise<ServerConnection> {
    const { signal } = request;
    return new Promise((resolve, reject) => {
      if (!this.#closing.signal.aborted) signal.throwIfAborted();
      const settled = (): void => signal.removeEventListener('abort', leave);
      const waiter = this.waiter(request, {
        granted: (connection) => (settled(), resolve(connection)),
        refused: (error) => (settled(), reject(error)),
      });
      const leave = (): void => {
        this.cancel(waiter, signal.reason);
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      const connection = this.checkOut(waiter);
      if (connection) waiter.listener.granted(connection);
    });
  }

  /** The server of a lent connection refused a write (25006): it may be a replica by now. */
  refusedWrite(connection: ServerConnection): void {
    const server = this.#servers.get(connection);
    if (server) this.hosts.refusedWrite(server);
  }

  /** As {@link Pool.checkIn}. Resolves when the server has closed it, or at once where it is kept; until then it counts. */
  release(connection: ServerConnection, how: Condition): Promise<void> {
    // Where the next session is likely another identity's, it does not wait for the reset.
    this.checkIn(connection, how === 'clean' && !this.#parts.state.idle.returning ? 'dirty' : how);
    return this.#servers.get(connection)?.ended ?? GIVEN_BACK;
  }

  /** The functions of a database; undefined where the entry's `detect` is `'tags'`. */
  functions(database: string): KnownFunctions | undefined {
    return this.#parts.functions(database);
  }

  /** Its functions that may leave settings; undefined where sessions are not pinned for that. */
  setters(database: string): KnownFunctions | undefined {
    return this.#parts.setters(database);
  }

  /** A session in transaction mode that has left state is over: connections that carry it are reset. */
  over(holder: Holder): void {
    if (!this.#closing.signal.aborted) this.#parts.state.over(holder);
  }

  // ---- operators ----

  /** Closes idle connections, and lent ones at check-in; resolves when no connection is left. New requests are still served. */
  async retire(): Promise<void> {
    this.#parts.state.idle.retired = true;
    this.#parts.maintenance.keepsMinimum = false;
    this.#parts.state.idle.closeAll();
    await this.pendingCloses.all();
    this.#parts.hosts.rest();
  }

  /** Lends no connection until {@link resume}: requests wait. Resolves when no connection is left, which a resume may prevent. */
  async pause(): Promise<void> {
    this.#parts.state.idle.paused = this.#parts.connector.paused = true;
    this.#parts.state.idle.closeAll();
    await this.pendingCloses.all();
  }

  /** Serves waiting requests again. */
  resume(): void {
    this.#parts.state.idle.paused = this.#parts.connector.paused = false;
    this.#parts.state.serve();
  }

  /** Replaces every connection: the idle ones now, the others at check-in. */
  reconnect(): void {
    this.#parts.reported.forget();
    for (const server of this.servers.all()) server.outdated = true;
    this.#parts.state.idle.closeAll();
  }

  /** Refuses waiting and new requests, closes every connection, and resolves when none is left. */
  async close(): Promise<void> {
    const reason = new GatewayError('cannot_connect_now', 'the gateway is shutting down');
    this.#closing.abort(reason);
    this.#parts.state.refuseAll(reason);
    this.#parts.checkOuts.stop();
    this.#parts.maintenance.stop();
    this.#parts.connector.stop(reason);
    this.#parts.hosts.rest();
    // A stopped conversation closes its connection itself: two users of one channel would block it.
    for (const server of this.servers.all()) if (!server.busy) this.#parts.state.idle.close(server);
    await this.pendingCloses.all();
    this.#slots?.close();
    this.#sessionSlots?.close();
  }
}

/** The last one of a role is for its clients in transaction mode. */
const sessionLimits = ({ mostSessions, perRole }: Limits): SlotLimits => ({
  size: mostSessions,
  perRole: Math.max(1, perRole - 1),
  reserve: 0,
  reserveAfterMs: 0,
  connecting: Infinity,
  connectRate: Infinity,
});

/** The minimum is shared by all workers. */
const withShareOf = (limits: Limits, { workers }: ConnectionSlots): Limits => ({
  ...limits,
  min: Math.ceil(limits.min / workers),
});

/** A pool put together: its state, and the sockets, servers and timers that the state decides about. */
import type { DatabaseOptions } from '../../contract/database.ts';
import { GatewayError } from '../../contract/errors.ts';
import { whenClosed } from '../../net/channel.ts';
import type { Logger } from '../../contract/session.ts';
import type { Clock } from '../clock.ts';
import type { ServerConnection } from '../connection.ts';
import { Hosts } from '../hosts/hosts.ts';
import type { HostsParts } from '../hosts/hosts.ts';
import { IdleWatch } from '../idle-watch.ts';
import { KnownFunctions } from '../known-functions.ts';
import type { RefusedRoles } from '../login-backoff.ts';
import type { Timeouts } from '../open.ts';
import { unreachable } from '../refusals.ts';
import { ReportedParameters } from '../reported-parameters.ts';
import type { Outdated } from '../reported-parameters.ts';
import { discardSequences, reset } from '../reset.ts';
import { schemaChangesOf } from '../schema-changes.ts';
import type { Waiter } from './checkout-request.ts';
import { Checkouts } from './checkouts.ts';
import { Connector } from './connector.ts';
import type { Attempt } from './connector.ts';
import type { PoolEnvironment, Reset } from './idle-connections.ts';
import { Isolation } from './isolation.ts';
import type { ConnectionSlots } from './connection-slots.ts';
import type { Limits } from './limits.ts';
import { Maintenance, PendingCloses } from './maintenance.ts';
import { PoolState } from './pool-state.ts';
import type { PooledServer, PooledServers } from './pooled-servers.ts';
import { STEP_MS } from './session-preparation.ts';

/** The connections, and the options of their servers. */
interface HostedParts extends Omit<HostsParts, 'inUse' | 'load'> {
  readonly servers: PooledServers;
}

/** The servers of a pool's connections: in use while there is one, or a request waits for one. */
function hostsFor({ servers, ...parts }: HostedParts): Hosts {
  return new Hosts({
    ...parts,
    inUse: () => servers.size > 0 || parts.waiting(),
    load: (endpoint) =>
      servers.all().filter((one) => one.endpoint === endpoint && one.state !== 'closing').length,
  });
}

/**
 * Closes connections whose server does not suit any more: idle ones, and those in use where even their sessions must not go
 * on, which then read that the connection is lost. Without a Terminate, as the server may be down.
 */
function closeObsoleteServers(servers: PooledServers, hosts: Pick<Hosts, 'fits' | 'wrong'>): void {
  for (const server of servers.all()) {
    const unused = server.state === 'idle' && !hosts.fits(server);
    if (unused || hosts.wrong(server)) server.connection?.channel.destroy();
  }
}

/**
 * Settings that most clients of an application choose alike, set in advance with a reset. Not client_encoding: names and values of
 * other settings are sent in UTF-8.
 */
const PRESET = new Set(['application_name', 'datestyle', 'intervalstyle', 'timezone', 'extra_float_digits']);

/** The options of these parts. */
interface PoolPartsOptions {
  /** The key of `databases`. */
  readonly entry: string;
  readonly database: DatabaseOptions;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly timeouts?: Timeouts | undefined;
  readonly log?: Logger | undefined;
  /** Aborted when the pool closes; its reason is the error for requests. */
  readonly closing: AbortSignal;
  /** Default: only this process opens connections for the entry. */
  readonly slots?: ConnectionSlots | undefined;
  /** For sessions in session mode, as `slots`. */
  readonly sessionSlots?: ConnectionSlots | undefined;
  /** What is known of roles that the server refuses, where other workers have such a pool. */
  readonly refusedRoles?: RefusedRoles | undefined;
  /** See {@link ReportedParametersParts}. */
  readonly outdated?: ((what: Outdated) => void) | undefined;
  /** A connection has come to be. */
  readonly opened: (server: PooledServer) => void;
}

/** One per pool. */
export class PoolParts implements PoolEnvironment {
  readonly hosts: Hosts;
  readonly state: PoolState;
  readonly pendingCloses: PendingCloses;
  readonly checkOuts: Checkouts;
  readonly connector: Connector;
  readonly maintenance: Maintenance;
  readonly reported: ReportedParameters;
  readonly #options: PoolPartsOptions;
  readonly #isolation: Isolation;
  /** By the database's name on the server. */
  readonly #functions = new Map<string, KnownFunctions>();
  readonly #setters = new Map<string, KnownFunctions>();
  #toldUncancelable = false;

  constructor(options: PoolPartsOptions) {
    this.#options = options;
    this.#isolation = new Isolation(options);
    const isolation = this.#isolation;
    const { limits, slots, sessionSlots } = options;
    this.state = new PoolState({ limits, isolation, environment: this, slots, sessionSlots });
    const { servers, waiting } = this.state;
    this.pendingCloses = new PendingCloses({ servers, idle: this.state.idle });
    const serve = (): void => this.state.serve();
    const isWaiting = (): boolean => waiting.size > 0;
    this.hosts = hostsFor({ ...options, servers, waiting: isWaiting, changed: () => this.#review() });
    const parts = {
      ...options,
      servers,
      isolation,
      state: this.state,
      hosts: this.hosts,
      slots: this.state.slots,
    };
    this.connector = new Connector({
      ...parts,
      postponed: serve,
      ready: serve,
      opened: (server, attempt) => this.#opened(server, attempt),
      failed: (attempt, error) => this.#failed(attempt, error),
    });
    this.reported = new ReportedParameters({ ...parts, connector: this.connector });
    this.checkOuts = new Checkouts({
      ...parts,
      first: (server, waiter) => this.reported.learn(server, waiter.request),
    });
    const close = (server: PooledServer): void => this.state.idle.close(server);
    this.maintenance = new Maintenance({
      ...parts,
      connector: this.connector,
      close,
      waiting: isWaiting,
      looked: serve,
    });
    sessionSlots?.changed(() => {
      this.state.sessionSlots?.collect();
      serve();
    });
    slots?.changed(() => {
      serve();
      if (this.state.slots?.lacksMinimum) this.maintenance.openMinimum();
    });
  }

  /** The functions of a database; undefined where the entry's `detect` is `'tags'`. */
  functions(database: string): KnownFunctions | undefined {
    const { clock, database: entry } = this.#options;
    return entry.pool?.detect === 'tags' ? undefined : knownIn(this.#functions, database, clock);
  }

  /** Those of them that may leave settings; undefined also where `unknownSettings` is not `'pin'`. */
  setters(database: string): KnownFunctions | undefined {
    const { clock, database: entry } = this.#options;
    if (entry.pool?.detect === 'tags' || entry.pool?.unknownSettings !== 'pin') return undefined;
    return knownIn(this.#setters, database, clock);
  }

  // ---- questions and effects of the state ----

  now(): number {
    return this.#options.clock.now();
  }
  get connecting(): boolean {
    return this.connector.busy;
  }
  refusal(role: string): Error | undefined {
    return this.connector.refusal(role);
  }
  open(waiter: Waiter): 'size' | 'role' | undefined {
    this.maintenance.used(waiter);
    return this.connector.begin(waiter) ? undefined : this.state.slots?.full(waiter.key.role);
  }
  fits(server: PooledServer): boolean {
    return this.hosts.fits(server);
  }
  watch(server: PooledServer): void {
    const { connection } = server;
    if (connection) server.watch ??= new IdleWatch(connection, () => this.state.idle.unusable(server));
    server.watch?.start();
  }
  unwatch(server: PooledServer): boolean {
    return server.watch?.stop() === true;
  }
  reset(server: PooledServer, what: Reset): void {
    const { connection } = server;
    if (!connection) return;
    server.busy = true;
    if (what === 'all') return this.#resetAll(server, connection);
    const { closing } = this.#options;
    void discardSequences(connection, { ms: STEP_MS, closing }).then((done) => {
      server.busy = false;
      this.state.idle.wasReset(server, done, what);
    });
  }
  /** Says Terminate and waits for the server's end of the connection. */
  close(server: PooledServer): void {
    const { connection } = server;
    if (!connection) return;
    server.ended = whenClosed(connection.channel).then(() => this.state.closed(server));
    connection.close();
  }
  granted(waiter: Waiter, server: PooledServer): void {
    this.checkOuts.granted(waiter, server);
  }
  refused(waiter: Waiter, error: unknown): void {
    this.checkOuts.refused(waiter, error);
  }
  served(): void {
    this.pendingCloses.look();
    this.state.slots?.told();
    this.state.sessionSlots?.told();
  }

  #resetAll(server: PooledServer, connection: ServerConnection): void {
    const { closing } = this.#options;
    const { database } = server.key;
    const asks = this.#isolation.asks(database);
    const known = this.functions(database);
    const question = known?.question();
    // Without `known`, nothing tells whether a seed was set.
    const seeds = !known || server.left === 'state';
    const wanted = server.applied.all.filter(
      ({ name, from }) => from === 'client' && PRESET.has(name.toLowerCase()),
    );
    const options = { ms: STEP_MS, closing, wanted, seeds, asks, asksFunctions: question !== undefined };
    void reset(connection, options).then(({ done, preset, unresettable, functions }) => {
      server.busy = false;
      if (unresettable !== undefined) this.#isolation.learn(database, unresettable);
      if (question && functions) known?.learn(question, functions);
      server.preset = preset;
      this.state.idle.wasReset(server, done, 'all');
    });
  }

  /** A new connection. One that cannot be used counts as a failure, or it would be opened again and again. */
  #opened(server: PooledServer, attempt: Attempt): void {
    const { connection, key } = server;
    this.#options.opened(server);
    if (connection?.cancelable === false) this.#tellUncancelable();
    if (key.pooled) this.#isolation.learn(key.database, connection?.unresettable === true);
    this.reported.opened(server);
    if (this.state.opened(server)) return;
    const why = new Error('the server sent an unexpected message, or closed');
    this.state.failed(attempt, unreachable(why));
  }

  /** Once per pool: it applies to the server, and no client can change it. */
  #tellUncancelable(): void {
    if (this.#toldUncancelable) return;
    this.#toldUncancelable = true;
    const { entry, log } = this.#options;
    log?.warn(
      { entry },
      'the server sends no BackendKeyData: cancels do nothing, and a statement runs to its end although its client is gone',
    );
  }

  /** A login without a connection must not hide that PostgreSQL refuses it. A server that is full does not refuse it. */
  #failed(attempt: Attempt, error: unknown): void {
    const full = error instanceof GatewayError && error.code === 'too_many_connections';
    if (!full) this.reported.refused(attempt.checkout.key.role);
    this.state.failed(attempt, error);
  }

  /** A server has changed its status. */
  #review(): void {
    this.connector.review();
    closeObsoleteServers(this.state.servers, this.hosts);
    this.state.serve();
  }
}

function knownIn(all: Map<string, KnownFunctions>, database: string, clock: Clock): KnownFunctions {
  const known = all.get(database) ?? new KnownFunctions(schemaChangesOf(database), clock);
  all.set(database, known);
  return known;
}

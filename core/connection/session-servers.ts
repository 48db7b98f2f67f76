/** Server connections for one session, transaction by transaction: from its pool. */
import type { DatabaseOptions } from '../contract/database.ts';
import { GatewayError } from '../contract/errors.ts';
import type { ServerSource, ServerWaiter } from '../relay/server-source.ts';
import { isRetryable } from '../relay/unlinked-messages.ts';
import type { ServerFitness } from '../relay/transaction-boundary.ts';
import type { Startup, Upstream } from '../contract/session.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import { FunctionCatalog, querySetters } from '../upstream/function-catalog.ts';
import { querySessionState } from '../upstream/session-state-query.ts';
import { asksOrigins, namesToAsk, settle, tooMany } from '../upstream/client-settings.ts';
import type { Asked, Ended, Touched } from '../upstream/client-settings.ts';
import { agrees, SessionSettings } from '../upstream/session-settings.ts';
import { pinnedNames, settingsFor } from '../upstream/settings.ts';
import { querySettings } from '../upstream/settings-query.ts';
import type { KnownFunctions } from '../upstream/known-functions.ts';
import { limitsOf } from '../upstream/pool/limits.ts';
import type { Pool } from '../upstream/pool/pool.ts';
import type { Usage } from './usage.ts';
import { changedRequest } from '../upstream/pool/checkout-request.ts';
import type {
  CheckOutListener,
  EndSignal,
  Holder,
  IsolationScopes,
  Queued,
  Waiter,
} from '../upstream/pool/checkout-request.ts';
import { schemaChangesOf } from '../upstream/schema-changes.ts';
import { ParameterMap } from '../upstream/parameter-map.ts';
import type { SessionDefaults } from '../upstream/session-defaults.ts';
import { knownTo } from './pool-statements.ts';

/** A session's use of its pool. */
export interface SessionServersOptions {
  readonly pool: Pool;
  readonly database: DatabaseOptions;
  readonly upstream: Upstream;
  readonly startup: Startup;
  readonly fingerprint: string;
  /** The session: it may get a connection back as it left it. */
  readonly holder: Holder;
  readonly scopes?: IsolationScopes;
  readonly inSessionMode?: boolean | undefined;
  /** Counts it. Default: it is not counted. */
  readonly usage?: Usage;
  /** Aborted when the session ends. */
  readonly signal: EndSignal;
  /** Called when a wait begins. Default: not called. */
  readonly queued?: Queued | undefined;
  /** Called when the first connection is asked for, where the login needed none. Default: not called. */
  readonly connects?: (() => ConnectTold) | undefined;
}

/** Called with the connection that the session has got, or why there is none; `goesOn`: its next statement tries again. */
export type ConnectTold = (server?: ServerConnection, error?: unknown, goesOn?: boolean) => void;

/** The source of connections for a session, after `first`, which its login got. */
export function serversFor(options: SessionServersOptions, first: ServerConnection): ServerSource {
  return new SessionServers(options, first.parameters, first);
}

/** As {@link serversFor}, for a login that needed no connection: it was told `parameters`. */
export function serversLater(
  options: SessionServersOptions,
  parameters: ReadonlyMap<string, string>,
): ServerSource {
  return new SessionServers(options, parameters);
}

class SessionServers implements ServerSource, CheckOutListener {
  readonly parameters: ParameterMap;
  readonly known: ServerSource['known'];
  readonly probe: ServerSource['probe'];
  readonly pinsUnknown: boolean;
  defaults: SessionDefaults | undefined;
  readonly #pool: Pool;
  readonly #usage: Usage | undefined;
  readonly #holder: Holder;
  /** Policies have settings, whose values are asked for at each check-out. */
  readonly #asks: boolean;
  readonly #request: Waiter;
  readonly #signal: EndSignal;
  /** Absent where the session is not pinned for settings of functions. */
  readonly #setters: KnownFunctions | undefined;
  /** How long the server may take to say what a transaction has left: the client's next message waits for that as for a connection. */
  readonly #answerMs: number;
  /** It has left state on a connection that only it may see. */
  #hasLeft = false;
  readonly #connects: SessionServersOptions['connects'];
  /** What the client has set since its login. */
  #session = SessionSettings.none;
  /** Where policies have settings: those in force on the connection that the session had last. */
  #applied: SessionSettings | undefined;
  /** It has that connection now. */
  #holds = false;
  /** The connection that the session had last has other settings than the session. */
  #differs = false;
  /** The connection that the session had last. Undefined: its login needed none, and it has had none since. */
  #latest: ServerConnection | undefined;
  /** Values of settings that nobody has changed since the login; undefined until one is asked for. */
  #valuesAtLogin: Map<string, string | null> | undefined;
  #waiter: ServerWaiter | undefined;
  #connecting: ConnectTold | undefined;

  constructor(
    options: SessionServersOptions,
    parameters: ReadonlyMap<string, string>,
    first?: ServerConnection,
  ) {
    const { role, database, settings, schemas } = options.upstream;
    this.#pool = options.pool;
    this.#usage = options.usage;
    this.#holder = options.holder;
    this.#signal = options.signal;
    this.#asks = options.upstream.onCheckout.length > 0;
    this.#request = options.pool.waiter({ ...options, discardsSequences: true }, this);
    this.#connects = options.connects;
    this.parameters = new ParameterMap(parameters);
    // Its login had those that another one found: on each connection it has them.
    this.defaults = this.parameters.defaults;
    if (first) this.#begin(first);
    const changes = schemaChangesOf(database);
    this.known = knownTo(options, changes, JSON.stringify([role, database, settings, schemas]));
    this.#answerMs = limitsOf(options.database.pool).queueMs;
    this.probe = asksForState(options.database)
      ? (server) => querySessionState(server, this.#answerMs)
      : undefined;
    this.pinsUnknown = options.database.pool?.unknownSettings === 'pin';
    this.#setters = options.pool.setters(database);
    if (options.usage) options.usage.parameters = this.parameters;
    options.pool.servers.addTransactionSession(options.signal);
  }

  pinned(why: string): void {
    if (this.#latest) this.#pool.servers.pin(this.#latest, why);
  }

  checkOut(waiter: ServerWaiter): ServerConnection | undefined {
    const latest = this.#reusableLatest();
    if (latest) {
      this.#usage?.took(latest);
      return latest;
    }
    if (!this.#latest) this.#connecting ??= this.#connects?.();
    this.#waiter = waiter;
    this.#usage?.waits();
    const server = this.#pool.checkOut(this.#request);
    if (server) this.#got(server);
    return server;
  }

  granted(server: ServerConnection): void {
    const waiter = this.#waiter;
    this.#got(server);
    waiter?.granted(server);
  }

  refused(error: unknown): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    this.#usage?.waited();
    this.#tellConnect(undefined, error);
    waiter?.refused(error);
  }

  cancel(reason: Error = OVER): void {
    this.#waiter = undefined;
    this.#connecting = undefined;
    this.#usage?.waited();
    this.#pool.cancel(this.#request, reason);
  }

  checkIn(server: ServerConnection, how: ServerFitness): void {
    this.#holds = false;
    if (this.#usage) this.#usage.server = undefined;
    if (how === 'suspect' && !this.#hasLeft) this.#leaves();
    this.#pool.checkIn(server, how);
  }

  settingOf(name: string): string | null | undefined {
    const reported = this.parameters.get(name);
    if (reported !== undefined) return reported;
    const settings = this.#asks ? this.#applied : this.#session;
    const found = settings?.get(name);
    // Policies' settings depend on the connection.
    if (!settings || (found?.from === 'policy' && !this.#holds)) return undefined;
    if (found?.value != null) return typeof found.value === 'object' ? undefined : found.value;
    return this.defaults ? this.#atLogin(name) : undefined;
  }

  /** Asked for with each statement. */
  #atLogin(name: string): string | null {
    const known = (this.#valuesAtLogin ??= new Map<string, string | null>());
    const found = known.get(name);
    if (found !== undefined) return found;
    const { startup, upstream } = this.#request.request;
    const sent = Object.entries(startup.parameters).find(([one]) => one.toLowerCase() === name)?.[1];
    const chosen = pinnedNames(upstream).has(name) ? undefined : sent;
    const value = chosen ?? this.defaults?.get(name) ?? null;
    known.set(name, value);
    return value;
  }

  unseen(
    server: ServerConnection,
    texts: ReadonlySet<string>,
  ): Promise<string | undefined> | string | undefined {
    const known = this.#setters;
    if (!known) return undefined;
    const { catalog } = known;
    if (catalog !== FunctionCatalog.unknown) return setBy(catalog, texts);
    const question = known.question();
    return querySetters(server, this.#answerMs).then((answer) => {
      if (question) known.learn(question, answer);
      return setBy(answer, texts);
    });
  }

  settle(server: ServerConnection, touched: Touched): Promise<string | undefined> | undefined {
    const applied = this.#pool.settingsOn(server);
    const { upstream, startup } = this.#request.request;
    const ended: Ended = {
      touched,
      applied,
      reported: server.parameters,
      pinned: pinnedNames(upstream),
      atLogin: new Set([
        ...Object.keys(startup.parameters).map((name) => name.toLowerCase()),
        ...(this.parameters.defaults?.missingOn(server.parameters.defaults) ?? []).map(({ name }) => name),
      ]),
    };
    const names = namesToAsk(ended);
    const origins = asksOrigins(this.#session, ended);
    if (names.length === 0 && !origins) {
      this.#settled(server, ended, NOTHING);
      return undefined;
    }
    return querySettings(server, { names, origins, ms: this.#answerMs }).then((asked) => {
      // For example a time-out that the session has set, or a server that is too slow: the connection stays with it.
      if (!asked) return 'what it has set is not known';
      this.#settled(server, ended, asked);
      return tooMany(this.#session);
    });
  }

  #settled(server: ServerConnection, ended: Ended, asked: Asked): void {
    const { session, applied } = settle(this.#session, ended, asked);
    if (applied !== ended.applied) this.#pool.noteSettings(server, applied);
    if (session !== this.#session) {
      this.#session = session;
      this.#requestAnew();
    }
    this.#differs = applied !== ended.applied && !this.#isWanted(applied);
  }

  /** Whether settings on a connection are those of the session. */
  #isWanted(applied: SessionSettings): boolean {
    const { request } = this.#request;
    if (!this.#latest || this.#asks || this.parameters.defaults !== this.#latest.parameters.defaults)
      return false;
    return settingsFor(request, this.#latest) === applied;
  }

  /** What it has left goes when it ends, as a lock does on PostgreSQL. */
  #leaves(): void {
    this.#hasLeft = true;
    this.#signal.addEventListener('abort', () => this.#pool.over(this.#holder), { once: true });
  }

  #got(server: ServerConnection): void {
    this.#differs = false;
    this.#takes(server);
    this.#waiter = undefined;
    this.#usage?.waited(server);
    if (this.#connecting) this.#tellConnect(server);
    if (!this.#latest) return this.#begin(server);
    this.#latest = server;
    this.#setDefaults(server);
  }

  /** Those in force: the connection may have others by itself. */
  #setDefaults({ parameters: { defaults: there } }: ServerConnection): void {
    const own = (this.parameters.defaults ??= there);
    const defaults = own && there ? own.on(there) : undefined;
    if (defaults === this.defaults) return;
    this.defaults = defaults;
    this.#valuesAtLogin = undefined;
  }

  /** The session's first connection: from here on what the client believes to be in force follows it. */
  #begin(server: ServerConnection): void {
    this.#latest = server;
    this.#setDefaults(server);
    this.#takes(server);
    this.#requestAnew();
  }

  #takes(server: ServerConnection): void {
    if (!this.#asks) return;
    this.#applied = this.#pool.settingsOn(server);
    this.#holds = true;
  }

  #requestAnew(): void {
    const { request } = this.#request;
    const session = this.#session === SessionSettings.none ? undefined : this.#session;
    this.#request.request = changedRequest(request, this.parameters, session);
  }

  #tellConnect(server?: ServerConnection, error?: unknown): void {
    const told = this.#connecting;
    this.#connecting = undefined;
    told?.(server, error, error instanceof GatewayError && isRetryable(error));
  }

  /** The connection that the session had last, if it is as the session needs it now. */
  #reusableLatest(): ServerConnection | undefined {
    const latest = this.#latest;
    // The values of onCheckout are set at each check-out.
    if (!latest || this.#asks || this.#differs || !this.#pool.checkOutSame(latest, this.#holder))
      return undefined;
    // The server may have reported a parameter meanwhile.
    if (agrees(latest.parameters, this.parameters)) return latest;
    this.#pool.checkIn(latest, 'clean');
    return undefined;
  }
}

/** Why functions that these texts may run keep the connection with the session. */
function setBy(setters: FunctionCatalog, texts: ReadonlySet<string>): string | undefined {
  // Of which nothing is known: they are taken to set nothing, as most do.
  if (setters === FunctionCatalog.unknown) return undefined;
  return [...texts].some((text) => setters.leaves(text) === 'state') ? 'settings of functions' : undefined;
}

const NOTHING: Asked = { values: new Map(), ofSession: new Set(), ofServer: new Set() };

/** The error for observers of the queue where the session ended. */
const OVER = new GatewayError('query_canceled', 'the session has ended');

/** The server is asked after each transaction what ties the session to its connection. */
function asksForState({ pool }: DatabaseOptions): boolean {
  return (pool?.detect ?? (pool?.reset === 'always' ? 'state' : 'calls')) === 'state';
}

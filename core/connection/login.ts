/** From an accepted startup packet to a server connection: the hooks, the database entry, the pool. */
import type { CredentialExchange } from '../client/credential-exchange.ts';
import type { Reader } from '../client/reader.ts';
import type { DatabaseOptions } from '../contract/database.ts';
import { GatewayError } from '../contract/errors.ts';
import type { GatewayContext } from './gateway-context.ts';
import { askToken } from './credential.ts';
import { isolationScopesOf, knownFingerprintOf } from './fingerprint.ts';
import { applyStartupRules, refuseConnectionParameters } from './startup-parameters.ts';
import { poolModeOf } from './pool-mode.ts';
import { serversFor, serversLater } from './session-servers.ts';
import type { ConnectTold, SessionServersOptions } from './session-servers.ts';
import type { Hooks } from '../hooks.ts';
import { after } from '../hooks/settle.ts';
import { parseDatabase } from '../contract/names.ts';
import type { DatabaseName } from '../contract/names.ts';
import type { OpenSession } from './open-session.ts';
import { tellConnect, tellQueue } from './session-log.ts';
import type { KnownFunctions } from '../relay/session-state-detection.ts';
import { schemaChangesOf } from '../upstream/schema-changes.ts';
import type { SchemaChanges } from '../upstream/schema-changes.ts';
import type { ServerSource } from '../relay/server-source.ts';
import type { MaybePromise, Upstream } from '../contract/session.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import { tooLate } from '../upstream/pool/checkouts.ts';
import type { Pool } from '../upstream/pool/pool.ts';
import { asksForReplication } from '../upstream/startup.ts';
import { Usage } from './usage.ts';

/** The client that logs in. */
export interface LoginRequest {
  readonly session: OpenSession;
  readonly reader: Reader;
  readonly hooks: Hooks;
  readonly exchange: CredentialExchange;
  /** The client's `replication` parameter. */
  readonly replication: string | undefined;
  /** The error of a login whose time ends during a wait; present while it waits. */
  missing?: (() => GatewayError | undefined) | undefined;
}

/** The server connection of a session, or the source of one for each transaction. */
export interface Login {
  /** Absent where the pool knew what PostgreSQL says to such a login: the first transaction gets one. */
  readonly server?: ServerConnection;
  readonly pool: Pool;
  /** The run-time parameters that the client is told. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Present where connections are checked in between transactions. */
  readonly source?: ServerSource | undefined;
  /** See {@link RelayOptions.watches}. */
  readonly watches?: boolean;
  /** See {@link RelayOptions.functions}. */
  readonly functions?: KnownFunctions | undefined;
  /** See {@link RelayOptions.schema}. */
  readonly schema: SchemaChanges;
  readonly usage: Usage;
}

/**
 * Runs `onStartup` and `onAuth`, then connects, or leaves that to the first transaction. PostgreSQL gets no byte before every
 * `onAuth` has passed, and no database is looked up before the client is authenticated: not even the time of a refusal shows
 * whether one exists.
 * @throws GatewayError to refuse; what hooks throw; ClientGone
 */
export async function logIn(request: LoginRequest, context: GatewayContext): Promise<Login> {
  const { session, hooks } = request;
  const started = hooks.startup(session, session.sessionFacts);
  if (started) await started;
  request.exchange.begin(session.client);
  const entryOf = entries(context);
  const upstream = await authenticate(request, entryOf);
  refuseMoved(upstream, request, context);
  const looked = entryOf(upstream.entry);
  const { database, error } = looked instanceof Promise ? await looked : looked;
  if (error !== undefined) throw error;
  const located = admitted(upstream, database, request, context);
  return connected(loanOf(located, request, context), request, context);
}

/** The database of a login that may connect. */
interface Located {
  readonly database: DatabaseOptions;
  readonly upstream: Upstream;
  readonly role: string;
}

/** @throws GatewayError for a database that there is not or that is disabled, for a login without a role, and for replication that is not allowed */
function admitted(
  upstream: Upstream,
  database: DatabaseOptions | undefined,
  { session, replication }: LoginRequest,
  { pools }: GatewayContext,
): Located {
  const { entry, role } = upstream;
  const name = upstream.database === NOWHERE ? nameOnServer(entry, database) : upstream.database;
  if (!database || name === undefined) {
    throw new GatewayError('invalid_catalog_name', `database "${entry}" does not exist`);
  }
  if (pools.isDisabled(entry)) {
    const message = `database "${entry}" is not currently accepting connections`;
    throw new GatewayError('object_not_in_prerequisite_state', message, {
      cause: new Error('an operator has disabled it'),
    });
  }
  if (role === undefined) {
    throw new GatewayError('invalid_authorization_specification', 'no role for this login', {
      cause: new Error('no plugin has mapped a role'),
    });
  }
  if (replication !== undefined && database.replication !== true) {
    throw new GatewayError('feature_not_supported', 'replication connections are not supported');
  }
  session.upstream = Object.freeze({ ...upstream, database: name });
  return { database, upstream: session.upstream, role };
}

/** How a session uses its pool. */
interface Loan extends SessionServersOptions {
  readonly usage: Usage;
  /** It gives its connection back between two transactions. */
  readonly lends: boolean;
}

/** @throws GatewayError as {@link poolModeOf}, {@link applyStartupRules} and {@link refuseConnectionParameters} do */
function loanOf(
  { database, upstream, role }: Located,
  { session, hooks, reader, replication }: LoginRequest,
  { config, pools, statistics }: GatewayContext,
): Loan {
  const { entry } = upstream;
  const mode = poolModeOf(session.startup, entry, database);
  const listener = config.listeners.find((one) => one.name === session.client.listener);
  session.startup = applyStartupRules(session.startup, [listener?.startup, database.startup]);
  if (asksForReplication(replication)) refuseConnectionParameters(session.startup);
  const pool = pools.for(entry, database);
  const known = knownFingerprintOf(session.sessionFacts.known, upstream, session.id);
  const inSessionMode = mode === 'session' && database.pool?.mode === 'transaction';
  const usage = statistics.enter(new Usage(session, entry, role, reader.channel, pool));
  const lends = mode === 'transaction' && replication === undefined;
  usage.mode = lends ? mode : 'session';
  if (asksForReplication(replication)) {
    usage.replication = replication?.toLowerCase() === 'database' ? 'logical' : 'physical';
  }
  return {
    pool,
    database,
    upstream,
    startup: session.startup,
    // As another identity it begins with a reset connection, and waits in a line of its own.
    fingerprint: inSessionMode ? `${known} in session mode` : known,
    scopes: isolationScopesOf(session.sessionFacts.known, session.id),
    inSessionMode,
    holder: session,
    usage,
    signal: session.over,
    queued: tellQueue(session, hooks),
    lends,
  };
}

/** Connects, or leaves that to the first transaction where the pool knows what PostgreSQL says to such a login. */
async function connected(loan: Loan, request: LoginRequest, context: GatewayContext): Promise<Login> {
  const { pool, database, upstream, usage, lends } = loan;
  const [functions, schema] = [pool.functions(upstream.database), schemaChangesOf(upstream.database)];
  const parameters = lends ? pool.reported.of(loan) : undefined;
  if (parameters) {
    const connects = (): ConnectTold => tellConnect(request.session, request.hooks, database);
    const source = serversLater({ ...loan, connects }, parameters);
    return { pool, usage, schema, parameters, source, functions };
  }
  const server = await connect(request, loan, context);
  const source = lends ? serversFor(loan, server) : undefined;
  const watches = !lends && database.pool?.reset !== 'always' && request.replication === undefined;
  return { pool, usage, schema, parameters: server.parameters, server, source, watches, functions };
}

/** Stands for the database's name on the server while that is not known: no connection ever uses it. */
const NOWHERE = parseDatabase('nowhere');

async function authenticate(
  { session, exchange, hooks }: LoginRequest,
  entryOf: (name: string) => MaybePromise<Entry>,
): Promise<Upstream> {
  const asked = session.startup.database;
  let found: Upstream | undefined;
  const locate = (upstream: Upstream): MaybePromise<Upstream> => {
    // Another entry has another name for it, unless the plugin that chose the entry chose the name as well.
    const moved = found && upstream.entry !== found.entry && upstream.database === found.database;
    if (upstream.database !== NOWHERE && !moved) return upstream;
    return after(entryOf(upstream.entry), (entry) => {
      const database = nameOnServer(asked, entry.database);
      found = database === undefined ? undefined : { ...upstream, database };
      return found ?? upstream;
    });
  };
  session.askToken = () => askToken(session, exchange);
  session.askScram = (lookup, mock) => exchange.scram({ user: session.startup.user, lookup, mock });
  try {
    const start = { entry: asked, database: NOWHERE, settings: {}, schemas: [], onCheckout: [] };
    return await locate(await hooks.auth(session, session.sessionFacts, start, locate));
  } finally {
    session.forgetToken();
  }
}

/**
 * Where a plugin chooses the entry, a client may write any database name; that name must not decide which plugins apply to it,
 * or what they decide by.
 */
function refuseMoved(
  { entry, decidedFor = [] }: Upstream,
  { session }: LoginRequest,
  context: GatewayContext,
): void {
  const { client, startup } = session;
  const { hooks } = context;
  const met = (database: string): Hooks => hooks.forScope(client.listener, database, session.credential);
  const other = decidedFor.find((name) => name !== entry);
  let why: string | undefined;
  if (other !== undefined) {
    why = `a plugin has decided for entry "${other}", and one below it has chosen "${entry}": list them the other way round`;
  } else if (startup.database !== entry && met(startup.database) !== met(entry)) {
    why = `only() has other plugins for entry "${entry}", which a plugin has chosen, than for the name the client wrote`;
  }
  if (why === undefined) return;
  const message = `database "${startup.database}" does not lead where this login would`;
  const hint = 'Connect to your own database by its name in the gateway.';
  throw new GatewayError('invalid_authorization_specification', message, { hint, cause: new Error(why) });
}

interface Entry {
  /** Undefined if there is none of this name. */
  readonly database?: DatabaseOptions | undefined;
  /** Why the lookup failed: a plugin may still choose another entry. */
  readonly error?: unknown;
}

/** Looks each name up once per login; never rejects. */
function entries(context: GatewayContext): (name: string) => MaybePromise<Entry> {
  const known = new Map<string, MaybePromise<Entry>>();
  const failed = (error: unknown): Entry => ({ error });
  const look = (name: string): MaybePromise<Entry> => {
    try {
      const found = context.config.database(name);
      return found instanceof Promise
        ? found.then((database) => ({ database }), failed)
        : { database: found };
    } catch (error) {
      return failed(error);
    }
  };
  return (name) => {
    const entry = known.get(name) ?? look(name);
    known.set(name, entry);
    return entry;
  };
}

/** Undefined where there is no entry, or no valid name. */
function nameOnServer(name: string, database: DatabaseOptions | undefined): DatabaseName | undefined {
  try {
    return database && parseDatabase(database.database ?? name);
  } catch {
    return undefined;
  }
}

/** An error after which drivers try again, unlike after a time-out. */
function paused(entry: string): GatewayError {
  const hint = 'An operator has paused it. Try again later.';
  return new GatewayError('cannot_connect_now', `database "${entry}" is paused`, { hint });
}

async function connect(
  request: LoginRequest,
  loan: SessionServersOptions,
  { pools }: GatewayContext,
): Promise<ServerConnection> {
  const { session, hooks, replication } = request;
  const { pool, database, upstream, usage } = loan;
  const tell = tellConnect(session, hooks, database);
  const { entry } = upstream;
  // In session mode on request it mostly waits for another such session, whose end may take any time.
  const late = (): GatewayError | undefined => (loan.inSessionMode === true ? tooLate(loan) : undefined);
  request.missing = () => (pools.isPaused(entry) ? paused(entry) : (pool.absence(upstream) ?? late()));
  usage?.waits();
  try {
    const server = await pool.acquire({ ...loan, replication });
    usage?.waited(server);
    tell(server);
    return server;
  } catch (error) {
    tell(undefined, error);
    throw error;
  } finally {
    usage?.waited();
    request.missing = undefined;
  }
}

/** From an accepted startup packet to a server connection: the hooks, the database entry, the pool. */
import { askPassword } from '../client/password.ts';
import type { Reader } from '../client/reader.ts';
import { reasonOf } from '../client/refuse.ts';
import type { DatabaseOptions } from '../config.ts';
import { GatewayError } from '../errors.ts';
import type { House } from '../gateway/house.ts';
import type { Hooks } from '../hooks.ts';
import { parseDatabase } from '../names.ts';
import type { OpenSession } from './open-session.ts';
import type { Upstream } from '../session.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import type { Pool } from '../upstream/pool.ts';

/** Who logs in, and by what. */
export interface LoginRequest {
  readonly session: OpenSession;
  readonly reader: Reader;
  readonly hooks: Hooks;
  /** The client's `replication` parameter. */
  readonly replication: string | undefined;
}

/** A server connection, and the pool that wants it back. */
export interface Login {
  readonly server: ServerConnection;
  readonly pool: Pool;
}

/**
 * Runs `onStartup` and `onAuth`, then connects. Nothing is sent to PostgreSQL before every `onAuth` has passed, and
 * whether a database exists is not told before that either.
 * @throws GatewayError to refuse; what hooks throw; ClientGone
 */
export async function logIn(request: LoginRequest, house: House): Promise<Login> {
  const { session, hooks, replication } = request;
  await hooks.startup(session, session.book);
  const asked = await entryOf(session.startup.database, house);
  const upstream = await authenticate(request, asked.upstream);
  const { entry } = upstream;
  const { database, error } = entry === asked.upstream.entry ? asked : await entryOf(entry, house);
  if (error !== undefined) throw error;
  if (!database) throw new GatewayError('invalid_catalog_name', `database "${entry}" does not exist`);
  if (upstream.role === undefined) {
    throw new GatewayError('invalid_authorization_specification', 'no role for this login', {
      cause: new Error('no plugin has mapped a role'),
    });
  }
  if (replication !== undefined && database.replication !== true) {
    throw new GatewayError('feature_not_supported', 'replication connections are not supported');
  }
  session.upstream = Object.freeze({ ...upstream });
  const pool = house.pools.for(entry, database);
  return { pool, server: await connect(request, session.upstream, database, pool) };
}

async function authenticate({ session, reader, hooks }: LoginRequest, upstream: Upstream): Promise<Upstream> {
  session.askToken = () => askPassword(reader);
  try {
    return await hooks.auth(session, session.book, upstream);
  } finally {
    session.forgetToken();
  }
}

interface Entry {
  /** Undefined if there is none of this name. */
  readonly database?: DatabaseOptions | undefined;
  /** Why it cannot be told: for whoever has authenticated. */
  readonly error?: unknown;
  readonly upstream: Upstream;
}

/** What `onAuth` starts from where the name leads nowhere: nobody ever connects to it. */
const NOWHERE = parseDatabase('nowhere');

/** Never rejects: before the token is verified, all names are alike. */
async function entryOf(name: string, house: House): Promise<Entry> {
  const blank = { entry: name, settings: {}, schemas: [], onCheckout: [] };
  try {
    const database = await house.config.database(name);
    return { database, upstream: { ...blank, database: parseDatabase(database?.database ?? name) } };
  } catch (error) {
    return { error, upstream: { ...blank, database: NOWHERE } };
  }
}

async function connect(
  { session, hooks, replication }: LoginRequest,
  upstream: Upstream,
  database: DatabaseOptions,
  pool: Pool,
): Promise<ServerConnection> {
  const startedAt = Date.now();
  const told = { session, startedAt, host: database.host };
  try {
    const { startup, signal } = session;
    const server = await pool.acquire({ upstream, startup, replication, signal });
    hooks.observed.connect?.({ ...told, durationMs: Date.now() - startedAt });
    return server;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const { sqlstate } = error;
    hooks.observed.connect?.({ ...told, durationMs: Date.now() - startedAt, sqlstate, error });
    session.log.warn({ database: upstream.entry, sqlstate, reason: reasonOf(error) }, 'no server connection');
    throw error;
  }
}

/** Opens one server connection: dial, log in as the mapped role, verify. */
import { hostsOf } from '../contract/database.ts';
import type { DatabaseOptions } from '../contract/database.ts';
import { GatewayError } from '../contract/errors.ts';
import type { RoleName } from '../contract/names.ts';
import type { Backend, Startup, Upstream } from '../contract/session.ts';
import type { ServerConnection } from './connection.ts';
import { Conversation } from './conversation.ts';
import { credentialsOf, loginRoleOf } from './credentials.ts';
import type { Credentials } from './credentials.ts';
import { within } from './deadline.ts';
import { dial } from './dial.ts';
import type { Dialed } from './dial.ts';
import { probeServer } from './hosts/server-probe.ts';
import type { ServerStatus } from './hosts/server-probe.ts';
import { serverAt } from './hosts/endpoint.ts';
import type { Endpoint, Server } from './hosts/endpoint.ts';
import { login } from './login.ts';
import { OpenConnection } from './open-connection.ts';
import {
  certificateRefused,
  credentialsMissing,
  identityRefused,
  loginRefused,
  unreachable,
} from './refusals.ts';
import { asksForReplication, startupParameters } from './startup.ts';
import { tooMighty, verify } from './verify.ts';

/** How long the steps may take, in milliseconds. */
export interface Timeouts {
  /** Name resolution, connection and TLS; as long again for the server's first message after that. Default 5000. */
  readonly connectMs?: number;
  /** From the startup packet to the end of the login. Default 10000. The password's source has as long before, but 5000 at most. */
  readonly loginMs?: number;
  /** A CancelRequest, until the server closed its connection. Default 10000. */
  readonly cancelMs?: number;
}

/** The connection to open, and its session. */
export interface OpenRequest {
  /** The key of `databases`, for operators' messages. */
  readonly entry: string;
  readonly database: DatabaseOptions;
  readonly upstream: Upstream;
  readonly startup: Startup;
  /** The server. Default: the entry's only host. */
  readonly endpoint?: Endpoint | undefined;
  /** Ask whether the server is a primary or a replica. Default false. Never asked on a replication connection, which takes no query. */
  readonly probes?: boolean;
  /** As in {@link startupParameters}. */
  readonly readOnly?: boolean;
  /** The client's `replication` parameter as it was given. */
  readonly replication?: string | undefined;
  /** Called with the fingerprint of the credentials before they are sent; throws if the server has refused these before. */
  readonly shows?: ((fingerprint: string) => void) | undefined;
  readonly signal: AbortSignal;
  readonly timeouts?: Timeouts | undefined;
}

/** How long the source of the credentials may take, in milliseconds: a client that waits for it has to read why. */
const CREDENTIALS_MS = 5_000;

/**
 * Opens a connection that is idle, logged in as `upstream.role`, and verified. Nothing is left open when it rejects.
 * @throws GatewayError as dial, login and verify do, or the signal's reason
 */
export async function open(request: OpenRequest): Promise<ServerConnection> {
  const { database, upstream } = request;
  const { role } = upstream;
  if (role === undefined) throw new GatewayError('invalid_authorization_specification', 'no role is mapped');
  // Before anything is connected: these may refuse.
  const user = loginRoleOf(database.login, role);
  const startup = startupParameters({ ...request, role, user, replicationAllowed: database.replication });
  const step = { ...request, role, startup };
  const first = await askFor(step);
  request.shows?.(first.fingerprint);
  try {
    return await logInWith({ ...step, credentials: first });
  } catch (error) {
    const second = identityRefused(error) ? await others(step, first) : undefined;
    if (!second) throw error;
    return logInWith({ ...step, credentials: second });
  }
}

/** Credentials that have replaced those that the server has just refused, or were to do so; undefined if there are none. */
async function others(step: Asking, { fingerprint }: Credentials): Promise<Credentials | undefined> {
  try {
    const found = await askFor(step);
    if (found.fingerprint === fingerprint) return undefined;
    step.shows?.(found.fingerprint);
    return found;
  } catch {
    return undefined;
  }
}

function askFor({ entry, database, upstream, role, signal, timeouts }: Asking): Promise<Credentials> {
  const ms = Math.min(timeouts?.loginMs ?? CREDENTIALS_MS, CREDENTIALS_MS);
  const late = (): Error => credentialsMissing(`databases.${entry}.login: no credentials within ${ms} ms`);
  const wanted = { entry, login: database.login, role, database: upstream.database };
  return within(ms, signal, late, (inner) => credentialsOf(wanted, inner));
}

type Asking = Omit<Attempt, 'credentials' | 'startup'>;
type Attempt = Omit<Preparation, 'database' | 'dialed'> & Pick<OpenRequest, 'database'>;

async function logInWith(request: Attempt): Promise<ServerConnection> {
  const { signal, timeouts = {} } = request;
  const loginMs = timeouts.loginMs ?? 10_000;
  const late = (): Error => unreachable(new Error(`${request.entry}: no login within ${loginMs} ms`));
  const { certificate } = request.credentials;
  const server = serverOf(request);
  const how = {
    ...timeouts,
    certificate,
    ...(request.endpoint?.address && { address: request.endpoint.address }),
  };
  const dialed = await dial(server, signal, how).catch((error: unknown) => {
    throw asRefusal(error);
  });
  try {
    const step = { ...request, database: server, dialed };
    return await within(loginMs, signal, late, (inner) => prepare({ ...step, signal: inner }));
  } catch (error) {
    dialed.channel.destroy();
    throw asRefusal(error);
  }
}

function serverOf({ database, endpoint }: Pick<OpenRequest, 'database' | 'endpoint'>): Server {
  const [only] = hostsOf(database);
  if (endpoint) return serverAt(database, endpoint);
  if (only) return serverAt(database, only);
  throw unreachable(new Error('the entry has no host'));
}

interface Preparation extends Omit<OpenRequest, 'startup' | 'database'> {
  readonly database: Server;
  readonly role: RoleName;
  readonly credentials: Credentials;
  readonly dialed: Dialed;
  readonly startup: readonly (readonly [string, string])[];
}

async function prepare(step: Preparation): Promise<ServerConnection> {
  const { credentials, database, dialed, role, startup, upstream, timeouts } = step;
  const talk = new Conversation(dialed.channel, step.signal);
  const { connectMs = 5000 } = timeouts ?? {};
  // Well before the client's login time is over: the client would read that it was too slow.
  talk.hearWithin(connectMs, () =>
    unreachable(new Error(`${step.entry}: not a word within ${connectMs} ms`)),
  );
  try {
    const replicating = asksForReplication(step.replication);
    const minor = database.maxProtocolVersion === '3.2' ? 2 : 0;
    const how = { minor, clientParameters: replicating };
    const key = await login(talk, { startup, credentials, peer: dialed, ...how });
    const backend: Backend = { pid: key?.pid ?? 0, host: database.host, role };
    let unresettable = false;
    let serverStatus: ServerStatus | undefined;
    if (replicating) checkReplication(step);
    else {
      serverStatus = step.probes === true ? await probeServer(talk) : undefined;
      const verified = await verify(talk, {
        role,
        user: credentials.user,
        schemas: upstream.schemas,
        privilegedRoles: database.privilegedRoles ?? [],
      });
      ({ unresettable } = verified);
      talk.parameters.defaults = verified.defaults;
    }
    const canceling = key && { database, address: dialed.address, key, ...timeouts };
    return new OpenConnection({
      backend,
      port: database.port,
      channel: dialed.channel,
      parameters: talk.parameters,
      canceling,
      unresettable,
      serverStatus,
    });
  } finally {
    talk.end();
  }
}

/** A replication connection takes no extended query, so it can neither be verified nor get settings: only the config decides. */
function checkReplication({ database, role, upstream }: Preparation): void {
  if (!database.privilegedRoles?.includes(role)) throw tooMighty(role, role);
  if (upstream.onCheckout.length === 0) return;
  throw new GatewayError(
    'feature_not_supported',
    'replication connections cannot carry the settings of this session',
  );
}

/** The wire's decoders say `protocol_violation`: right for a client's bytes, but here the server is to blame. */
function asRefusal(error: unknown): unknown {
  // In TLS 1.3 the server's alert about a certificate comes after the handshake (RFC 8446 §4.4.2.4).
  if (certificateRefused(error)) {
    const what = "the server does not take the gateway's certificate: is its authority in ssl_ca_file?";
    return loginRefused(new Error(what, { cause: error }));
  }
  return error instanceof GatewayError && error.code === 'protocol_violation' ? unreachable(error) : error;
}

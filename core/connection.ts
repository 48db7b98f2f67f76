/** One client from greeting to close: read it from top to bottom. */
import { peerOf } from './client/address.ts';
import { arrive } from './client/arrival.ts';
import { revoked } from './client/client-certificate.ts';
import { greet } from './client/greet.ts';
import { CredentialExchange } from './client/credential-exchange.ts';
import type { Introduction, ListenerContext } from './client/greet.ts';
import { ClientGone, Reader } from './client/reader.ts';
import { asGatewayError, refuse, uniform } from './client/refuse.ts';
import type { AnsweredDatabase } from './contract/answered-database.ts';
import { GatewayError } from './contract/errors.ts';
import { reasonOf } from './contract/reason.ts';
import { SessionFacts } from './hooks/session-facts.ts';
import { hooksFor } from './hooks/session-hooks.ts';
import { logInToAnswered, serveAnswered } from './connection/answered-database.ts';
import { AUTH, credentialFor, parameterValues } from './connection/credential-choice.ts';
import { POOL_MODE, checkPoolMode } from './connection/pool-mode.ts';
import { startSession } from './connection/session-start.ts';
import type { GatewayContext } from './connection/gateway-context.ts';
import { logIn } from './connection/login.ts';
import type { SessionContext } from './connection/session-context.ts';
import { closeSession } from './connection/session-close.ts';
import type { Channel } from './net/channel.ts';
import { OpenSession } from './connection/open-session.ts';
import { tellDiscovery, tellRefusal } from './connection/session-log.ts';
import type { Client, CloseReason } from './contract/session.ts';
import { acceptParameters } from './wire/startup-parameters.ts';
import { shown } from './wire/text.ts';
import { negotiateVersion } from './wire/version.ts';

/** A client that is not a session yet. */
interface IncomingClient {
  readonly channel: Channel;
  readonly client: Client;
  /** It uses protocol 1 or 2, whose errors have another format. */
  readonly old?: boolean | undefined;
}

/**
 * Serves an accepted connection up to its login; `context` counts it until its session has ended and its hooks have settled. Never
 * rejects.
 * @param from Default: the client that the connection itself, or a trusted proxy in front of it, tells of
 */
export async function serve(
  accepted: Channel,
  listener: ListenerContext,
  context: GatewayContext,
  from?: Client,
): Promise<void> {
  context.enter();
  const stays = await receive(accepted, listener, context, from);
  if (!stays) context.leave();
}

/** Resolves with true where a session has begun. */
async function receive(
  accepted: Channel,
  listener: ListenerContext,
  context: GatewayContext,
  from: Client | undefined,
): Promise<boolean> {
  let stays = false;
  let incoming: IncomingClient = {
    channel: accepted,
    client: from ?? { ...peerOf(accepted.socket, listener.unix), listener: listener.name },
  };
  // From accept to ReadyForQuery. Before the startup packet a client gets no error, as with PostgreSQL.
  const deadline = new Deadline(context.config.loginTimeoutMs, () => accepted.destroy());
  try {
    const arrival = from
      ? { ...from, reader: new Reader(accepted) }
      : await arrive(accepted, listener.proxies, listener.unix);
    const { address, port } = arrival;
    incoming = { channel: accepted, client: { address, port, listener: listener.name } };
    const { said, reader, tls } = await greet(arrival, listener);
    incoming = { channel: reader.channel, client: { ...incoming.client, ...(tls && { tls }) } };
    if (said.kind === 'dropped') throw new ClientGone(said.why);
    if (said.kind === 'refused') {
      incoming = { ...incoming, old: said.old };
      throw said.error;
    }
    if (said.kind === 'startup') {
      const serveSession = await runSession(admit(said, incoming.client, reader, context), deadline, context);
      stays = true;
      // From here on nothing waits: a suspended function would cost each idle session several KiB.
      serveSession();
    } else {
      await context.cancelKeys.present(said.processId, said.secret, address);
      reader.channel.finish();
    }
  } catch (error) {
    refuseConnection(error, incoming, context);
  } finally {
    deadline.clear();
  }
  return stays;
}

/** Serves a session after its login, or ends it; returns at once. */
type Stay = () => void;

/** The time limit of a login, and the action at its end. */
class Deadline {
  readonly #timer: NodeJS.Timeout;
  missed: () => void;

  constructor(ms: number, missed: () => void) {
    this.missed = missed;
    this.#timer = setTimeout(() => this.missed(), ms);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}

type StartupGreeting = Extract<Introduction['said'], { kind: 'startup' }>;

/** Makes a session of a startup packet, reduced to what the gateway accepts. @throws GatewayError */
function admit(
  said: StartupGreeting,
  client: Client,
  reader: Reader,
  context: GatewayContext,
): SessionContext {
  const { gatewayOptions: options, protocolOptions, ...accepted } = acceptParameters(said.parameters);
  const { user, parameters, replication } = accepted;
  const standby = replication === 'true' && accepted.database === 'replication';
  const database = (standby ? context.config.replicationEntry : undefined) ?? accepted.database;
  const { auth } = context.config.listeners.find(({ name }) => name === client.listener) ?? {};
  const credential = credentialFor(auth, client, { user, options });
  const shared = context.hooks.forScope(client.listener, database, credential);
  const own = parameterValues(auth).length > 0 ? [POOL_MODE, AUTH] : [POOL_MODE];
  const unknown = Object.keys(options).find(
    (name) => !own.includes(name) && !shared.startupParameters.has(name),
  );
  if (unknown !== undefined) {
    throw new GatewayError('protocol_violation', `unsupported startup parameter: ${shown(unknown)}`);
  }
  checkPoolMode(options);
  const { minor, reply } = negotiateVersion(said.minor, protocolOptions);
  if (reply) reader.channel.write(reply);
  if (context.revokes(client)) throw revoked();
  if (context.draining) throw new GatewayError('cannot_connect_now', 'the gateway is shutting down');
  const startup = { user, database, parameters, options };
  const session = new OpenSession({
    client,
    startup,
    credential,
    hooks: shared,
    facts: new SessionFacts(),
    log: context.log,
  });
  const hooks = hooksFor(session, shared, context.hooks.observerFailed);
  session.hooks = hooks;
  const exchange = new CredentialExchange({ reader, credential, announcement: hooks.announces });
  return { session, reader, hooks, exchange, minor, replication };
}

/** A session from its first hook to the end of its login. */
async function runSession(
  sessionContext: SessionContext,
  deadline: Deadline,
  context: GatewayContext,
): Promise<Stay> {
  const { session } = sessionContext;
  context.sessions.add(session);
  deadline.missed = () =>
    session.end(
      sessionContext.missing?.() ??
        new GatewayError('query_canceled', 'canceling authentication due to timeout'),
    );
  endWhenClientLeaves(sessionContext);
  // When the session ends: the client does not wait for a hook that hangs.
  void session.ended.then((why) => sendRefusal(sessionContext, why));
  try {
    const answered = sessionContext.hooks.databases.get(session.startup.database);
    if (answered) return await openAnswered(sessionContext, answered, context);
    return await logInAndRelay(sessionContext, context);
  } catch (error) {
    if (!(error instanceof ClientGone)) session.end(asGatewayError(error, session.log));
    return () => void closeSession(sessionContext, context);
  }
}

/** Logs in. */
async function logInAndRelay(sessionContext: SessionContext, context: GatewayContext): Promise<Stay> {
  if (context.suspension.on) await waitWhileSuspended(sessionContext, context);
  const login = await logIn(sessionContext, context);
  return () => {
    if (!sessionContext.session.reason) return startSession(sessionContext, login, context);
    const released = login.server ? login.pool.release(login.server, 'dirty') : Promise.resolve();
    void departAfter(released, sessionContext, context);
  };
}

/** Waits until the gateway resumes, or the session is over. A client that waits too long reads that it may try again. */
async function waitWhileSuspended(
  sessionContext: SessionContext,
  { suspension }: GatewayContext,
): Promise<void> {
  const hint = 'An operator has suspended it. Try again later.';
  sessionContext.missing = () => new GatewayError('cannot_connect_now', 'the gateway is suspended', { hint });
  await Promise.race([suspension.over, sessionContext.session.ended]);
  sessionContext.missing = undefined;
}

/** Logs in to a database that a plugin answers: not even a suspension holds it up. */
async function openAnswered(
  sessionContext: SessionContext,
  database: AnsweredDatabase,
  context: GatewayContext,
): Promise<Stay> {
  await logInToAnswered(sessionContext, database);
  return () => {
    const served = sessionContext.session.reason
      ? Promise.resolve()
      : serveAnswered(sessionContext, database, context);
    void departAfter(served, sessionContext, context);
  };
}

async function departAfter(
  work: Promise<void>,
  sessionContext: SessionContext,
  context: GatewayContext,
): Promise<void> {
  try {
    await work;
  } finally {
    await closeSession(sessionContext, context);
  }
}

function endWhenClientLeaves({ session, reader }: SessionContext): void {
  reader.whenGone(() => session.conclude({ kind: 'lost' }));
}

/** Sends the client its error when its session ends before the relay has started, which does so afterwards. */
function sendRefusal(sessionContext: SessionContext, why: CloseReason): void {
  if (why.kind !== 'refused' && why.kind !== 'discovery') return;
  const { session, reader, hooks, exchange } = sessionContext;
  const error = uniform(why.error, session.startup.user);
  const hearing = exchange.refuse(error);
  if (hearing) sessionContext.farewell = hearing.then((last) => refuse(reader.channel, last));
  else refuse(reader.channel, error);
  // Whatever the client makes of it: a failed login counts although nobody listens to its end.
  if (why.kind === 'refused') tellRefusal(session, hooks, error);
  else tellDiscovery(session, hooks);
}

/** Refuses a client that never became a session. */
function refuseConnection(
  error: unknown,
  { channel, client, old }: IncomingClient,
  context: GatewayContext,
): void {
  if (error instanceof ClientGone) channel.destroy();
  else refuse(channel, asGatewayError(error, context.unauthenticatedLog), old);
  const why = error instanceof Error ? reasonOf(error) : 'unknown';
  context.unauthenticatedLog.info({ ...client, why }, 'refused');
  context.hooks.forScope(client.listener, '').observed.refused?.({ client, why });
}

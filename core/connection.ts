/** One client from greeting to close: read it from top to bottom. */
import { peerOf } from './client/address.ts';
import { arrive } from './client/arrival.ts';
import { greet } from './client/greet.ts';
import type { Door, Introduction } from './client/greet.ts';
import { ClientGone } from './client/reader.ts';
import type { Reader } from './client/reader.ts';
import { asGatewayError, reasonOf, refuse, uniform } from './client/refuse.ts';
import { GatewayError } from './errors.ts';
import { FactBook } from './hooks/fact-book.ts';
import { hooksFor } from './hooks/session-hooks.ts';
import { asksForConsole, logInToConsole, serveConsole } from './connection/console.ts';
import { handOver } from './connection/hand-over.ts';
import type { House } from './gateway/house.ts';
import { logIn } from './connection/login.ts';
import type { Visit } from './connection/visit.ts';
import { depart } from './connection/depart.ts';
import type { Channel } from './net/channel.ts';
import { OpenSession } from './connection/open-session.ts';
import { tellRefusal } from './connection/session-log.ts';
import type { Client, CloseReason } from './session.ts';
import { acceptParameters } from './wire/startup-parameters.ts';
import { shown } from './wire/text.ts';
import { negotiateVersion } from './wire/version.ts';

/** A client that is not a session yet. */
interface Visitor {
  readonly channel: Channel;
  readonly client: Client;
  /** It uses protocol 1 or 2, whose errors have another format. */
  readonly old?: boolean | undefined;
}

/** Serves an accepted connection up to its login; `house` counts it until its session has ended and its hooks have settled. Never rejects. */
export async function serve(accepted: Channel, door: Door, house: House): Promise<void> {
  house.enter();
  const stays = await receive(accepted, door, house);
  if (!stays) house.leave();
}

/** Resolves with true where a session has begun. */
async function receive(accepted: Channel, door: Door, house: House): Promise<boolean> {
  let stays = false;
  let visitor: Visitor = { channel: accepted, client: { ...peerOf(accepted.socket), listener: door.name } };
  // From accept to ReadyForQuery. Before the startup packet a client gets no error, as with PostgreSQL.
  const deadline = new Deadline(house.config.loginTimeoutMs, () => accepted.destroy());
  try {
    const arrival = await arrive(accepted, door.proxies);
    const { address, port } = arrival;
    visitor = { channel: accepted, client: { address, port, listener: door.name } };
    const { said, reader, tls } = await greet(arrival, door);
    visitor = { channel: reader.channel, client: { ...visitor.client, ...(tls && { tls }) } };
    if (said.kind === 'dropped') throw new ClientGone(said.why);
    if (said.kind === 'refused') {
      visitor = { ...visitor, old: said.old };
      throw said.error;
    }
    if (said.kind === 'startup') {
      const stay = await attend(admit(said, visitor.client, reader, house), deadline, house);
      stays = true;
      // From here on nothing waits: a suspended function would cost each idle session several KiB.
      stay();
    } else {
      await house.cancelKeys.present(said.processId, said.secret);
      reader.channel.finish();
    }
  } catch (error) {
    turnAway(error, visitor, house);
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
function admit(said: StartupGreeting, client: Client, reader: Reader, house: House): Visit {
  const { gatewayOptions: options, protocolOptions, ...accepted } = acceptParameters(said.parameters);
  const { user, database, parameters, replication } = accepted;
  const shared = house.hooks.forScope(client.listener, database);
  const unknown = Object.keys(options).find((name) => !shared.startupParameters.has(name));
  if (unknown !== undefined) {
    throw new GatewayError('protocol_violation', `unsupported startup parameter: ${shown(unknown)}`);
  }
  const { minor, reply } = negotiateVersion(said.minor, protocolOptions);
  if (reply) reader.channel.write(reply);
  if (house.draining) throw new GatewayError('cannot_connect_now', 'the gateway is shutting down');
  const startup = { user, database, parameters, options };
  const session = new OpenSession({ client, startup, hooks: shared, facts: new FactBook(), log: house.log });
  const hooks = hooksFor(session, shared, house.hooks.observerFailed);
  session.hooks = hooks;
  return { session, reader, hooks, minor, replication };
}

/** A session from its first hook to the end of its login. */
async function attend(visit: Visit, deadline: Deadline, house: House): Promise<Stay> {
  const { session } = visit;
  house.sessions.add(session);
  deadline.missed = () =>
    session.end(
      visit.missing?.() ?? new GatewayError('query_canceled', 'canceling authentication due to timeout'),
    );
  concludeWhenGone(visit);
  // When the session ends: the client does not wait for a hook that hangs.
  void session.ended.then((why) => sayWhy(visit, why));
  try {
    return await (asksForConsole(visit, house) ? comeToConsole : comeIn)(visit, house);
  } catch (error) {
    if (!(error instanceof ClientGone)) session.end(asGatewayError(error, session.log));
    return () => void depart(visit, house);
  }
}

/** Logs in. */
async function comeIn(visit: Visit, house: House): Promise<Stay> {
  if (house.suspension.on) await standStill(visit, house);
  const login = await logIn(visit, house);
  return () => {
    if (!visit.session.reason) return handOver(visit, login, house);
    const released = login.server ? login.pool.release(login.server, 'dirty') : Promise.resolve();
    void departAfter(released, visit, house);
  };
}

/** Waits until the gateway resumes, or the session is over. A client that waits too long reads that it may try again. */
async function standStill(visit: Visit, { suspension }: House): Promise<void> {
  const hint = 'An operator has suspended it. Try again later.';
  visit.missing = () => new GatewayError('cannot_connect_now', 'the gateway is suspended', { hint });
  await Promise.race([suspension.over, visit.session.ended]);
  visit.missing = undefined;
}

async function comeToConsole(visit: Visit, house: House): Promise<Stay> {
  const operator = await logInToConsole(visit, house);
  return () => {
    const served = visit.session.reason ? Promise.resolve() : serveConsole(visit, operator, house);
    void departAfter(served, visit, house);
  };
}

async function departAfter(work: Promise<void>, visit: Visit, house: House): Promise<void> {
  try {
    await work;
  } finally {
    await depart(visit, house);
  }
}

function concludeWhenGone({ session, reader }: Visit): void {
  reader.whenGone(() => session.conclude({ kind: 'lost' }));
}

/** Sends the client its error when its session ends before the relay has started, which does so afterwards. */
function sayWhy({ session, reader, hooks }: Visit, why: CloseReason): void {
  if (why.kind !== 'refused') return;
  const error = uniform(why.error, session.startup.user);
  refuse(reader.channel, error);
  tellRefusal(session, hooks, error);
}

/** Refuses a client that never became a session. */
function turnAway(error: unknown, { channel, client, old }: Visitor, house: House): void {
  if (error instanceof ClientGone) channel.destroy();
  else refuse(channel, asGatewayError(error, house.strangersLog), old);
  const why = error instanceof Error ? reasonOf(error) : 'unknown';
  house.strangersLog.info({ ...client, why }, 'refused');
  house.hooks.forScope(client.listener, '').observed.refused?.({ client, why });
}

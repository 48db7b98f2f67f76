/** Starts a session after its login: sends the client the end of the login, and connects client and server by a relay. */
import type { CancelKey } from '../gateway/cancel-keys.ts';
import type { Reader } from '../client/reader.ts';
import { asGatewayError } from '../client/refuse.ts';
import { GatewayError } from '../errors.ts';
import type { Events } from '../events.ts';
import type { Hooks } from '../hooks.ts';
import type { House } from '../gateway/house.ts';
import type { Login } from './login.ts';
import type { OpenSession } from './open-session.ts';
import { Relay } from '../relay/relay.ts';
import type { RelayOptions } from '../relay/relay-options.ts';
import type { StatementEnd } from '../relay/statement-log.ts';
import { tellLogin } from './session-log.ts';
import type { CloseReason } from '../session.ts';
import type { Statement } from '../statement.ts';
import { applyPolicies } from '../upstream/settings.ts';
import { AUTHENTICATION_OK, backendKeyData, parameterStatus, readyForQuery } from '../wire/to-client.ts';

/** A client during its login. */
export interface Visit {
  readonly session: OpenSession;
  readonly reader: Reader;
  readonly hooks: Hooks;
  /** Minor version of protocol 3. */
  readonly minor: number;
  /** The client's `replication` parameter. */
  readonly replication: string | undefined;
  /** As in {@link LoginRequest}. */
  missing?: (() => GatewayError | undefined) | undefined;
}

/** Sends AuthenticationOk, relays until the session is over, and releases the server connection. */
export async function handOver(visit: Visit, login: Login, house: House): Promise<void> {
  const { session, reader, minor } = visit;
  const { server, pool, source, usage, parameters } = login;
  // Before the relay gets the session's log, whose lines are not limited from now on.
  session.changed('idle');
  const thinking = new Set<Promise<unknown>>();
  const relay = new Relay(relayOptions(visit, login, house, thinking));
  // In transaction mode the server process changes: its id would later belong to another session.
  const processId = source || !server || server.pid <= 0 ? undefined : server.pid;
  const key = house.cancelKeys.issue(minor, () => usage.canceling(() => relay.cancel()), processId);
  reader.release();
  reader.channel.cutOffWhenStalled();
  reader.channel.write(welcome(parameters, key));
  session.attach(relay);
  relay.start();
  tellLogin(session, visit.hooks);
  const end = await relay.done;
  house.cancelKeys.revoke(key);
  session.conclude(reasonFor(end.reason, house));
  // The pool counts the connection until the server has closed it; the session need not wait for that.
  if (server && !source) void pool.release(server, end.server);
  // The client does not wait for running hooks; onClose does.
  await Promise.allSettled(thinking);
}

/** The newest message of each parameter: nearly all sessions get the same. */
const newest = new Map<string, { readonly value: string; readonly message: Buffer }>();
/** PostgreSQL 18 reports fifteen. */
const MOST_PARAMETERS = 100;

function told(name: string, value: string): Buffer {
  const known = newest.get(name);
  if (known?.value === value) return known.message;
  const message = parameterStatus(name, value);
  if (known || newest.size < MOST_PARAMETERS) newest.set(name, { value, message });
  return message;
}

/** The messages at the end of a successful login (manual, 55.2.1). */
export function welcome(parameters: ReadonlyMap<string, string>, key: CancelKey): Buffer {
  return Buffer.concat([
    AUTHENTICATION_OK,
    ...[...parameters].map(([name, value]) => told(name, value)),
    backendKeyData(key.processId, key.secret),
    readyForQuery('I'),
  ]);
}

/** One literal without spreads: what every step reads has the same shape in all sessions. */
function relayOptions(
  { session, hooks, reader }: Visit,
  { server, pool, source, usage }: Login,
  house: House,
  thinking: Set<Promise<unknown>>,
): RelayOptions {
  const { query, statementsFrom } = hooks;
  const { statement } = hooks.observed;
  const noted = <T>(work: T): T => {
    if (!(work instanceof Promise)) return work;
    const over = (): void => void thinking.delete(work);
    thinking.add(work);
    work.then(over, over);
    return work;
  };
  const { upstream, startup } = session;
  const refresh = upstream !== undefined && upstream.onCheckout.length > 0;
  return {
    client: reader.channel,
    server,
    source,
    refresh: refresh ? (one) => applyPolicies(one, { upstream, startup }) : undefined,
    refusedWrite: (one) => pool.refusedWrite(one),
    log: session.log,
    tally: usage.tally,
    query: query && ((message: Statement) => noted(query(session, message))),
    reads: hooks.reads,
    inBand: (name, value) => noted(answerInBand(session, hooks, name, value)),
    maxStatementBytes: house.config.maxStatementBytes,
    statement: statement && statementTeller(session, usage, statement),
    statementsFrom,
    fault: (thrown) => asGatewayError(thrown, session.log),
    stateChanged: (state) => {
      session.changed(state);
      usage.changed(state, session.stateSince);
    },
  };
}

type StatementEvent = { -readonly [K in keyof Events['statement']]: Events['statement'][K] };

/** Puts the session and its server into the record of the relay, which is the same one for most statements. */
function statementTeller(
  session: OpenSession,
  usage: Login['usage'],
  tell: (event: Events['statement']) => void,
): (ended: StatementEnd) => void {
  return (ended) => {
    const event = ended as StatementEvent;
    event.session = session;
    const { server } = usage;
    if (server) event.host = server.host;
    if (server?.port !== undefined) event.port = server.port;
    else if ('port' in event) delete event.port;
    tell(event);
  };
}

async function answerInBand(session: OpenSession, hooks: Hooks, name: string, value: string): Promise<void> {
  const answer = hooks.inBand.get(name);
  if (!answer) {
    throw new GatewayError('invalid_parameter_value', `unrecognized configuration parameter "${name}"`);
  }
  try {
    await answer(session, value);
  } catch (error) {
    throw asGatewayError(error, session.log);
  }
}

/** While the whole gateway drains the reason is `drained`, whether the session ended by itself or at the deadline. */
function reasonFor(reason: CloseReason, house: House): CloseReason {
  if (reason.kind !== 'ended' && reason.kind !== 'drained') return reason;
  return { kind: house.draining ? 'drained' : 'ended', error: reason.error };
}

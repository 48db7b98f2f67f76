/** Starts a session after its login: sends the client the end of the login, and connects client and server by a relay. */
import type { CancelKey } from './cancel-keys.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { Login } from './login.ts';
import { RelayedSession } from './relayed-session.ts';
import type { Parameters } from '../upstream/connection.ts';
import { tellLogin } from './session-log.ts';
import type { SessionContext } from './session-context.ts';
import { AUTHENTICATION_OK, backendKeyData, parameterStatus, readyForQuery } from '../wire/to-client.ts';

/** Sends AuthenticationOk and lets the relay begin; returns at once. */
export function startSession(sessionContext: SessionContext, login: Login, context: GatewayContext): void {
  const { session, reader } = sessionContext;
  // Before the relay gets the session's log, whose lines are not limited from now on.
  session.changed('idle');
  const relayed = new RelayedSession(sessionContext, login, context);
  reader.release();
  reader.channel.cutOffWhenStalled();
  reader.channel.write(loginResponse(login.parameters, relayed.key));
  session.attach(relayed.relay);
  relayed.relay.start();
  tellLogin(session, sessionContext.hooks);
}

/** AuthenticationOk and each ParameterStatus, by the number of their contents: nearly all sessions get the same. */
const heads = new Map<number, Buffer>();
/** Others make them anew. */
const MOST_HEADS = 1_000;
/** Longer ones are not kept, in bytes: clients choose some of the values. */
const LONGEST_HEAD = 4_096;

function headOf(parameters: ReadonlyMap<string, string>): Buffer {
  const { content } = parameters as Parameters;
  const known = content === undefined ? undefined : heads.get(content);
  if (known) return known;
  const statuses = [...parameters].map(([name, value]) => parameterStatus(name, value));
  const head = Buffer.concat([AUTHENTICATION_OK, ...statuses]);
  if (content === undefined || head.length > LONGEST_HEAD) return head;
  if (heads.size >= MOST_HEADS) heads.clear();
  heads.set(content, head);
  return head;
}

/** The messages at the end of a successful login (manual, 55.2.1). */
export function loginResponse(parameters: ReadonlyMap<string, string>, key: CancelKey): Buffer {
  return Buffer.concat([headOf(parameters), backendKeyData(key.processId, key.secret), readyForQuery('I')]);
}

/** Starts a session after its login: sends the client the end of the login, and connects client and server by a relay. */
import type { CancelKey } from '../gateway/cancel-keys.ts';
import type { GatewayContext } from '../gateway/gateway-context.ts';
import type { Login } from './login.ts';
import { RelayedSession } from './relayed-session.ts';
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
export function loginResponse(parameters: ReadonlyMap<string, string>, key: CancelKey): Buffer {
  return Buffer.concat([
    AUTHENTICATION_OK,
    ...[...parameters].map(([name, value]) => told(name, value)),
    backendKeyData(key.processId, key.secret),
    readyForQuery('I'),
  ]);
}

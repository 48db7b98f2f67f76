/** A session with a database that a plugin answers: its login, and its end. It never gets a server connection. */
import type { AnsweredDatabase } from '../contract/answered-database.ts';
import { GatewayError } from '../contract/errors.ts';
import type { CloseReason } from '../contract/session.ts';
import { ClientGone } from '../client/reader.ts';
import { Conversation } from './answered-connection.ts';
import { askToken } from './credential.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { SessionContext } from './session-context.ts';

const EXPIRED = new GatewayError('admin_shutdown', 'the token has expired', {
  hint: 'Connect again with a fresh token as the password.',
});

/**
 * Logs a client in, after the `onStartup` of plugins: the plugin says who it is, and the checks of the identity run.
 * @throws GatewayError to refuse; what hooks throw; ClientGone
 */
export async function logInToAnswered(
  { session, exchange, hooks, replication }: SessionContext,
  database: AnsweredDatabase,
): Promise<void> {
  await hooks.startup(session, session.sessionFacts);
  if (database.credentials?.includes(session.credential) !== false) exchange.begin(session.client);
  session.askToken = () => askToken(session, exchange);
  session.askScram = (lookup, mock) => exchange.scram({ user: session.startup.user, lookup, mock });
  const identity = await Promise.resolve(database.admit(session)).finally(() => session.forgetToken());
  if (replication !== undefined)
    throw new GatewayError('feature_not_supported', 'replication connections are not supported');
  session.establish('identity', identity);
  await hooks.check(session, session.sessionFacts);
  session.endAt(identity.expiresAt, EXPIRED);
}

/** Has the plugin answer until the session is over. Never rejects. */
export async function serveAnswered(
  sessionContext: SessionContext,
  database: AnsweredDatabase,
  context: GatewayContext,
): Promise<void> {
  const { session } = sessionContext;
  const conversation = new Conversation(sessionContext, context);
  let reason: CloseReason = { kind: 'client' };
  try {
    await database.serve(session, conversation);
    if (!conversation.opened) throw new Error('serve has ended without a call of open');
  } catch (thrown) {
    reason = { kind: 'lost' };
    if (!(thrown instanceof ClientGone)) conversation.end(conversation.errorOf(thrown));
  }
  conversation.close();
  session.conclude(reason);
}

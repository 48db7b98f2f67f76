/** Asks the client of a session for its token, and ends the session of one that only asks where to get it. */
import type { CredentialExchange } from '../client/credential-exchange.ts';
import { DiscoveryRequest } from '../contract/errors.ts';
import type { OpenSession } from './open-session.ts';

/**
 * The token of a client. A discovery request ends the session: it is no failed login.
 * @throws GatewayError as the exchange does, and DiscoveryRequest (`invalid_authorization_specification`)
 * @throws ClientGone
 */
export async function askToken(session: OpenSession, exchange: CredentialExchange): Promise<string> {
  const token = await exchange.token();
  if (token !== undefined) return token;
  const text = `OAuth bearer authentication failed for user "${session.startup.user}"`;
  const error = new DiscoveryRequest('invalid_authorization_specification', text, {
    cause: new Error('the client asks where to get a token'),
  });
  // Before a plugin hears of it, whatever that makes of the error.
  session.conclude({ kind: 'discovery', error });
  throw error;
}

/** Asks a client for its token, which comes as the password. */
import { GatewayError } from '../contract/errors.ts';
import { readPassword } from '../wire/frontend.ts';
import { strictUtf8 } from '../wire/text.ts';
import { AUTHENTICATION_CLEARTEXT_PASSWORD } from '../wire/to-client.ts';
import { readAuthResponse } from './auth-response.ts';
import type { ExpectedResponse } from './auth-response.ts';
import type { Reader } from './reader.ts';

/** Longest token, in bytes: 64 KiB. */
const LONGEST_TOKEN = 65_536;

const PASSWORD_MESSAGE: ExpectedResponse = {
  kind: 'password',
  /**
   * The length word, the token, and a zero byte. PostgreSQL's own limit for tokens, PG_MAX_AUTH_TOKEN_LENGTH of auth.h, counts
   * all of these and is six bytes less.
   */
  longest: 4 + LONGEST_TOKEN + 1,
  wrongLength: 'invalid password packet size',
};

/**
 * Sends AuthenticationCleartextPassword and reads the PasswordMessage (manual, 55.2.1). Call it once.
 * @throws GatewayError `protocol_violation` for another message or a malformed one, `invalid_password` for an empty one
 * @throws ClientGone
 */
export async function askPassword(reader: Reader): Promise<string> {
  reader.channel.write(AUTHENTICATION_CLEARTEXT_PASSWORD);
  const password = await readAuthResponse(reader, PASSWORD_MESSAGE, (body) =>
    strictUtf8(readPassword(body), 'password'),
  );
  if (password !== '') return password;
  throw new GatewayError('invalid_password', 'password authentication failed', {
    cause: new Error('empty password'),
  });
}

/** Asks a client for its token, which comes as the password. */
import { GatewayError } from '../errors.ts';
import { Frontend, HEADER_BYTES } from '../wire/frames.ts';
import { readPassword } from '../wire/frontend.ts';
import { strictUtf8 } from '../wire/text.ts';
import { AUTHENTICATION_CLEARTEXT_PASSWORD } from '../wire/to-client.ts';
import type { Reader } from './reader.ts';

/** Longest token, in bytes: 64 KiB. */
const LONGEST_TOKEN = 65_536;
/**
 * Longest PasswordMessage, as its length word counts it: that word, the token, and a zero byte. PostgreSQL's own limit for
 * tokens, PG_MAX_AUTH_TOKEN_LENGTH of auth.h, counts all of these and is six bytes less.
 */
const LONGEST_PASSWORD_MESSAGE = 4 + LONGEST_TOKEN + 1;

/**
 * Sends AuthenticationCleartextPassword and reads the PasswordMessage (manual, 55.2.1). Call it once.
 * @throws GatewayError `protocol_violation` for another message or a malformed one, `invalid_password` for an empty one
 * @throws ClientGone
 */
export async function askPassword(reader: Reader): Promise<string> {
  reader.channel.write(AUTHENTICATION_CLEARTEXT_PASSWORD);
  const length = bodyLength(await reader.exactly(HEADER_BYTES));
  const there = reader.exactly(length);
  const body = there instanceof Promise ? await there : there;
  try {
    const password = strictUtf8(readPassword(body), 'password');
    if (password !== '') return password;
    throw new GatewayError('invalid_password', 'password authentication failed', {
      cause: new Error('empty password'),
    });
  } finally {
    body.fill(0);
  }
}

/** How long the message is behind its header. */
function bodyLength(head: Buffer): number {
  const type = head.readUInt8(0);
  if (type !== Frontend.password) {
    throw new GatewayError('protocol_violation', `expected password response, got message type ${type}`);
  }
  const length = head.readUInt32BE(1);
  if (length < 4 || length > LONGEST_PASSWORD_MESSAGE) {
    throw new GatewayError('protocol_violation', 'invalid password packet size');
  }
  return length - 4;
}

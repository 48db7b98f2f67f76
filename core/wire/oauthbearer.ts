/** OAUTHBEARER (RFC 7628) as PostgreSQL 18 reads and answers it (`auth-oauth.c`): pure, from one message to the next. */
import { GatewayError } from '../contract/errors.ts';
import { shownCharacter } from './text.ts';

/** The mechanism's name in AuthenticationSASL and SASLInitialResponse. */
export const OAUTHBEARER = 'OAUTHBEARER';

/** Longest message of a client as its length word counts it: PG_MAX_AUTH_TOKEN_LENGTH of `auth.h`. */
export const LONGEST_BEARER_MESSAGE = 65_535;

/** Longest status in bytes: libpq reads authentication requests of at most 2000, their length word and code included. */
export const LONGEST_STATUS = 1_992;

/** What an initial response asks for. */
export type BearerRequest =
  /** It has an empty `auth`: the client has no token, and asks where to get one. */
  | { readonly kind: 'discovery' }
  | { readonly kind: 'token'; readonly token: string }
  /** `auth` has another scheme, or no token of RFC 6750: to be refused as a token that is not good. */
  | { readonly kind: 'unusable'; readonly why: string };

/** `kvsep`: ends each key/value pair and the list, and is all that a client answers to a status (RFC 7628 §3.1). */
const KVSEP = '\x01';
/** Name of a key: letters only. */
const KEY = /^[A-Za-z]+$/;
/** Value of a key: printable ASCII and white space. */
const VALUE = /^[\t\r\n\x20-\x7e]*$/;
/** An authentication scheme counts in any case (RFC 9110 §11.1). */
const SCHEME = 'bearer ';
/** `b64token` (RFC 6750 §2.1). */
const B64TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/**
 * Reads the initial response of a client. Pairs that are not known are skipped; exactly one has to be `auth`.
 * No error repeats a value.
 * @throws GatewayError `protocol_violation` for a message that is malformed, `feature_not_supported` for one with an
 * authorization identity, each in PostgreSQL's words
 */
export function parseBearerRequest(message: Buffer): BearerRequest {
  if (message.length === 0) throw malformed('The message is empty.');
  if (message.includes(0)) throw malformed('Message length does not match input length.');
  // Latin-1, so that every byte counts as itself; the grammar then takes ASCII only.
  const text = message.toString('latin1');
  const auth = authOf(text.slice(headerLength(text)));
  if (auth === '') return { kind: 'discovery' };
  return bearerIn(auth);
}

/** Reads what a client answers to a status. @throws GatewayError `protocol_violation` unless it is one `kvsep` */
export function parseBearerFarewell(message: Buffer): void {
  if (message.length === 0) throw malformed('The message is empty.');
  if (message.includes(0)) throw malformed('Message length does not match input length.');
  if (message.toString('latin1') !== KVSEP) throw malformed('Client did not send a kvsep response.');
}

/**
 * The status with which a token is refused, and a client told where to get one (RFC 7628 §3.2.2).
 * @param discovery where the issuer says what it is
 * @param scope what tokens have to be good for
 */
export function bearerStatus(discovery: string, scope: string): Buffer {
  return Buffer.from(JSON.stringify({ status: 'invalid_token', 'openid-configuration': discovery, scope }));
}

/** Length of the gs2 header (RFC 5801 §4), `n,,` or `y,,`, and of the `kvsep` behind it. */
function headerLength(text: string): number {
  const flag = text.charAt(0);
  if (flag === 'p') {
    throw malformed(
      'The server does not support channel binding for OAuth, but the client message includes channel binding data.',
    );
  }
  if (flag !== 'n' && flag !== 'y')
    throw malformed(`Unexpected channel-binding flag "${shownCharacter(text, 0)}".`);
  if (text.charAt(1) !== ',')
    throw malformed(`Comma expected, but found character "${shownCharacter(text, 1)}".`);
  if (text.charAt(2) === 'a') {
    throw new GatewayError(
      'feature_not_supported',
      'client uses authorization identity, but it is not supported',
    );
  }
  if (text.charAt(2) !== ',') {
    throw malformed(`Unexpected attribute "${shownCharacter(text, 2)}" in client-first-message.`);
  }
  if (text.charAt(3) !== KVSEP) {
    throw malformed(`Key-value separator expected, but found character "${shownCharacter(text, 3)}".`);
  }
  return 4;
}

/** The value of `auth` in a list of pairs, which ends with an empty one. */
function authOf(pairs: string): string {
  let auth: string | undefined;
  for (let at = 0; at < pairs.length;) {
    const end = pairs.indexOf(KVSEP, at);
    if (end < 0) throw malformed('Message contains an unterminated key/value pair.');
    if (end === at) return onlyAuth(auth, end + 1 === pairs.length);
    const { key, value } = pairOf(pairs.slice(at, end));
    if (key === 'auth') {
      if (auth !== undefined) throw malformed('Message contains multiple auth values.');
      auth = value;
    }
    at = end + 1;
  }
  throw malformed('Message did not contain a final terminator.');
}

function onlyAuth(auth: string | undefined, last: boolean): string {
  if (auth === undefined) throw malformed('Message does not contain an auth value.');
  if (!last) throw malformed('Message contains additional data after the final terminator.');
  return auth;
}

function pairOf(pair: string): { readonly key: string; readonly value: string } {
  const equals = pair.indexOf('=');
  if (equals < 0) throw malformed('Message contains a key without a value.');
  const [key, value] = [pair.slice(0, equals), pair.slice(equals + 1)];
  if (key === '') throw malformed('Message contains an empty key name.');
  if (!KEY.test(key)) throw malformed('Message contains an invalid key name.');
  if (!VALUE.test(value)) throw malformed('Message contains an invalid value.');
  return { key, value };
}

function bearerIn(auth: string): BearerRequest {
  if (auth.slice(0, SCHEME.length).toLowerCase() !== SCHEME) {
    return { kind: 'unusable', why: 'auth has another scheme than Bearer' };
  }
  let at = SCHEME.length;
  while (auth.charAt(at) === ' ') at += 1;
  const token = auth.slice(at);
  if (token === '') return { kind: 'unusable', why: 'auth has no token' };
  if (!B64TOKEN.test(token)) return { kind: 'unusable', why: 'auth is not the form of a bearer token' };
  return { kind: 'token', token };
}

function malformed(detail: string): GatewayError {
  return new GatewayError('protocol_violation', 'malformed OAUTHBEARER message', { detail });
}

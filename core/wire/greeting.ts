/** The first packet of a connection: what it may be, and the ones the gateway itself sends to a server. */
import { GatewayError } from '../contract/errors.ts';
import { BodyReader } from './body.ts';
import { cstring, int32, untyped } from './message.ts';
import { shown, strictUtf8 } from './text.ts';

/** Longest first packet in bytes, its length word included: MAX_STARTUP_PACKET_LENGTH (10 000) behind that word. */
export const MAX_STARTUP_PACKET = 10_004;
/** Shortest first packet in bytes: its length and one code. */
export const MIN_STARTUP_PACKET = 8;
/** Shortest secret of a CancelRequest in bytes: all there is before protocol 3.2. */
export const MIN_CANCEL_SECRET = 4;
/** Longest secret of a CancelRequest in bytes (manual, 55.7 "CancelRequest"). */
export const MAX_CANCEL_SECRET = 256;

/** The major number of requests that are not a StartupMessage (`libpq/pqcomm.h`, NEGOTIATE_SSL_CODE and others). */
const REQUEST = 1234;
const CANCEL = 5678;
const SSL = 5679;
const GSSENC = 5680;

/** SSLRequest, as sent to a server (manual, 55.7). Never modify it. */
export const SSL_REQUEST: Buffer = untyped([int32(REQUEST * 65_536 + SSL)]);

/** Run-time parameters in the order of the packet, duplicates included. */
export type ParameterPairs = readonly (readonly [name: string, value: string])[];

/** What a client's first packet says (manual, 55.2.1 and 55.7). */
export type Greeting =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gssenc' }
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  | {
      readonly kind: 'startup';
      readonly major: number;
      readonly minor: number;
      readonly parameters: ParameterPairs;
    }
  /** To be refused with {@link unsupportedProtocol}. */
  | { readonly kind: 'unsupported'; readonly major: number; readonly minor: number }
  /** PostgreSQL closes without an answer, and so should the caller: malformed requests. */
  | { readonly kind: 'silent'; readonly why: string };

/**
 * Length of a first packet in bytes, its length word included, from its first four bytes.
 * @throws GatewayError `protocol_violation` unless it is 8 to 10 004; PostgreSQL closes without sending it
 */
export function greetingLength(head: Buffer): number {
  const length = new BodyReader(head).uint32();
  if (length < MIN_STARTUP_PACKET || length > MAX_STARTUP_PACKET) {
    throw new GatewayError('protocol_violation', 'invalid length of startup packet');
  }
  return length;
}

/**
 * Reads a complete first packet, length word included. Its secret is a view: copy what is kept.
 * @throws GatewayError `protocol_violation` for a StartupMessage whose layout is broken
 */
export function parseGreeting(packet: Buffer): Greeting {
  if (greetingLength(packet) !== packet.length) {
    throw new GatewayError('protocol_violation', 'invalid length of startup packet');
  }
  const body = new BodyReader(packet, 4);
  const major = body.uint16();
  const minor = body.uint16();
  if (major === REQUEST && minor === CANCEL) return parseCancel(body);
  if (major === REQUEST && (minor === SSL || minor === GSSENC)) {
    if (body.left > 0) return { kind: 'silent', why: 'encryption request with a body' };
    return { kind: minor === SSL ? 'ssl' : 'gssenc' };
  }
  if (major !== 3) return { kind: 'unsupported', major, minor };
  return { kind: 'startup', major, minor, parameters: parseParameters(body) };
}

function parseCancel(body: BodyReader): Greeting {
  if (body.left < 4 + MIN_CANCEL_SECRET || body.left > 4 + MAX_CANCEL_SECRET) {
    return { kind: 'silent', why: 'invalid length of cancel request' };
  }
  return { kind: 'cancel', processId: body.int32(), secret: body.rest() };
}

function parseParameters(body: BodyReader): ParameterPairs {
  const parameters: [string, string][] = [];
  try {
    for (let name = body.cstringBytes(); name.length > 0; name = body.cstringBytes()) {
      const text = strictUtf8(name, 'name of a startup parameter');
      parameters.push([text, strictUtf8(body.cstringBytes(), `startup parameter ${shown(text)}`)]);
    }
    body.end();
  } catch (error) {
    throw layoutError(error);
  }
  return parameters;
}

/** PostgreSQL has one sentence for every way a packet may end wrongly. */
function layoutError(error: unknown): unknown {
  if (error instanceof GatewayError && error.message.endsWith('UTF-8')) return error;
  return new GatewayError(
    'protocol_violation',
    'invalid startup packet layout: expected terminator as last byte',
  );
}

/** Refuses a protocol version in PostgreSQL's words (0A000). */
export function unsupportedProtocol(major: number, minor: number): GatewayError {
  const wanted = `unsupported frontend protocol ${major}.${minor}`;
  return new GatewayError('feature_not_supported', `${wanted}: server supports 3.0 to 3.2`);
}

/**
 * StartupMessage of protocol 3. `minor`: the newest minor version asked for; to another than 0 a server may answer that it has an older one.
 * @throws GatewayError `protocol_violation` for an empty name or a zero byte: a later parameter could be forged with
 * either; `program_limit_exceeded` beyond 10 004 bytes, which the server would close on without a word
 */
export function encodeStartup(
  parameters: Iterable<readonly [name: string, value: string]>,
  minor = 0,
): Buffer {
  const fields = [int32(3 * 65_536 + minor)];
  for (const [name, value] of parameters) {
    if (name === '') throw new GatewayError('protocol_violation', 'startup parameter without a name');
    if (value.includes('\0'))
      throw new GatewayError('protocol_violation', `zero byte in startup parameter ${shown(name)}`);
    fields.push(cstring(name), cstring(value));
  }
  const packet = untyped([...fields, Buffer.alloc(1)]);
  if (packet.length > MAX_STARTUP_PACKET) {
    throw new GatewayError('program_limit_exceeded', 'startup parameters are too long', {
      detail: `${packet.length} bytes of at most ${MAX_STARTUP_PACKET}`,
    });
  }
  return packet;
}

/** CancelRequest (manual, 55.7); `secret` as BackendKeyData gave it. */
export function encodeCancel(processId: number, secret: Uint8Array): Buffer {
  return untyped([int32(REQUEST * 65_536 + CANCEL), int32(processId), secret]);
}

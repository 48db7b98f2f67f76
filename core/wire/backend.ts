/** Reads what a server sends (manual, 55.7), from bodies without type byte and length. */
import { GatewayError } from '../contract/errors.ts';
import { BodyReader } from './body.ts';
import { MAX_CANCEL_SECRET, MIN_CANCEL_SECRET } from './greeting.ts';

/** What is decoded of an ErrorResponse at most, in bytes: 1 MiB, as the text of a statement may be in it. */
const LONGEST_ERROR = 1_048_576;

/** An ErrorResponse or NoticeResponse, whatever of it there was. */
export interface ServerError {
  /** Not localized where the server says so (field V). `'ERROR'` if it said none. */
  readonly severity: string;
  /** SQLSTATE; `XX000` if the server sent none or something else. */
  readonly code: string;
  /** Maybe empty. */
  readonly message: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  /** Every field by its type, those above included (manual, 55.8). */
  readonly fields: ReadonlyMap<string, string>;
}

/** An authentication request. Data are views of the body. */
export type AuthenticationRequest =
  | { readonly kind: 'ok' | 'cleartext' }
  | { readonly kind: 'md5'; readonly salt: Buffer }
  | { readonly kind: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly kind: 'sasl-continue' | 'sasl-final'; readonly data: Buffer }
  /** Kerberos, GSSAPI, SSPI and whatever comes. */
  | { readonly kind: 'unsupported'; readonly code: number };

/**
 * ErrorResponse and NoticeResponse. Never throws: a server that fails says why as it can, without terminator, without
 * SQLSTATE, without anything. Of a field given twice the last one counts, as in libpq.
 */
export function errorFields(message: Buffer): ServerError {
  const body = message.subarray(0, LONGEST_ERROR);
  const fields = new Map<string, string>();
  for (let at = 0; at < body.length && body[at] !== 0;) {
    const zero = body.indexOf(0, at + 1);
    const end = zero < 0 ? body.length : zero;
    fields.set(String.fromCharCode(body.readUInt8(at)), body.toString('utf8', at + 1, end));
    at = end + 1;
  }
  const code = fields.get('C') ?? '';
  return {
    severity: fields.get('V') ?? fields.get('S') ?? 'ERROR',
    code: /^[0-9A-Z]{5}$/.test(code) ? code : 'XX000',
    message: fields.get('M') ?? '',
    detail: fields.get('D'),
    hint: fields.get('H'),
    fields,
  };
}

/** ParameterStatus. @throws GatewayError `protocol_violation`, as every function below */
export function readParameterStatus(body: Buffer): { readonly name: string; readonly value: string } {
  const reader = new BodyReader(body);
  const name = reader.cstring();
  const value = reader.cstring();
  reader.end();
  return { name, value };
}

/** BackendKeyData; the secret of 4 to 256 bytes is a view of the body. */
export function readBackendKeyData(body: Buffer): { readonly processId: number; readonly secret: Buffer } {
  const reader = new BodyReader(body);
  const processId = reader.int32();
  const secret = reader.rest();
  if (secret.length < MIN_CANCEL_SECRET || secret.length > MAX_CANCEL_SECRET) {
    throw new GatewayError('protocol_violation', 'invalid length of cancel key');
  }
  return { processId, secret };
}

/** NegotiateProtocolVersion: the newest version of the server, and the protocol options that it does not know. */
export function readNegotiateProtocolVersion(body: Buffer): {
  readonly major: number;
  readonly minor: number;
  readonly options: readonly string[];
} {
  const reader = new BodyReader(body);
  const [major, minor, count] = [reader.uint16(), reader.uint16(), reader.uint32()];
  const options: string[] = [];
  while (options.length < count) options.push(reader.cstring());
  reader.end();
  return { major, minor, options };
}

/** CommandComplete: its tag. */
export function readCommandComplete(body: Buffer): string {
  const reader = new BodyReader(body);
  const tag = reader.cstring();
  reader.end();
  return tag;
}

/** ReadyForQuery: idle, in a transaction, in a failed one. */
export function readReadyForQuery(body: Buffer): 'I' | 'T' | 'E' {
  const reader = new BodyReader(body);
  const status = String.fromCharCode(reader.byte());
  reader.end();
  if (status === 'I' || status === 'T' || status === 'E') return status;
  throw new GatewayError('protocol_violation', 'unknown transaction status');
}

/** An authentication request (message type R). */
export function readAuthentication(body: Buffer): AuthenticationRequest {
  const reader = new BodyReader(body);
  const request = authentication(reader, reader.int32());
  if (request.kind !== 'unsupported') reader.end();
  return request;
}

function authentication(reader: BodyReader, code: number): AuthenticationRequest {
  switch (code) {
    case 0:
      return { kind: 'ok' };
    case 3:
      return { kind: 'cleartext' };
    case 5:
      return { kind: 'md5', salt: reader.bytes(4) };
    case 10:
      return { kind: 'sasl', mechanisms: readMechanisms(reader) };
    case 11:
      return { kind: 'sasl-continue', data: reader.rest() };
    case 12:
      return { kind: 'sasl-final', data: reader.rest() };
    default:
      return { kind: 'unsupported', code };
  }
}

function readMechanisms(reader: BodyReader): string[] {
  const mechanisms: string[] = [];
  for (let name = reader.cstring(); name !== ''; name = reader.cstring()) mechanisms.push(name);
  return mechanisms;
}

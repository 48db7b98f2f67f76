/** A client's answer to an authentication request: bounded before it is read, zeroed after it was. */
import { GatewayError } from '../contract/errors.ts';
import { Frontend, HEADER_BYTES } from '../wire/frames.ts';
import type { Reader } from './reader.ts';

/** An answer that is expected. */
export interface ExpectedResponse {
  /** In PostgreSQL's words for another message. */
  readonly kind: 'password' | 'SASL';
  /** Greatest length word. */
  readonly longest: number;
  /** In PostgreSQL's words for another length. */
  readonly wrongLength: string;
}

/**
 * Reads the next message, which has to be such an answer (type `p`).
 * @param read makes something of its body, which is zeroed afterwards: it must keep no view of it
 * @throws GatewayError `protocol_violation` for another message or a wrong length; what `read` throws
 * @throws ClientGone
 */
export async function readAuthResponse<T>(
  reader: Reader,
  expected: ExpectedResponse,
  read: (body: Buffer) => T,
): Promise<T> {
  const length = bodyLength(await reader.exactly(HEADER_BYTES), expected);
  const there = reader.exactly(length);
  const body = there instanceof Promise ? await there : there;
  try {
    return read(body);
  } finally {
    body.fill(0);
  }
}

/** Length of the message behind its header. */
function bodyLength(head: Buffer, { kind, longest, wrongLength }: ExpectedResponse): number {
  const type = head.readUInt8(0);
  if (type !== Frontend.password) {
    throw new GatewayError('protocol_violation', `expected ${kind} response, got message type ${type}`);
  }
  const length = head.readUInt32BE(1);
  if (length < 4 || length > longest) throw new GatewayError('protocol_violation', wrongLength);
  return length - 4;
}

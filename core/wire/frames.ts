/** Message type bytes and length limits of protocol 3 (manual, 55.7 "Message Formats"). */

import { GatewayError } from '../contract/errors.ts';

/** Type byte and length word: what precedes every message body after the startup packet. */
export const HEADER_BYTES = 5;

/** Type bytes of messages from the client. */
export const Frontend = {
  bind: 0x42,
  close: 0x43,
  copyData: 0x64,
  copyDone: 0x63,
  copyFail: 0x66,
  describe: 0x44,
  execute: 0x45,
  flush: 0x48,
  functionCall: 0x46,
  parse: 0x50,
  password: 0x70,
  query: 0x51,
  sync: 0x53,
  terminate: 0x58,
} as const;

/** Type bytes of messages from the server. */
export const Backend = {
  authentication: 0x52,
  backendKeyData: 0x4b,
  bindComplete: 0x32,
  closeComplete: 0x33,
  commandComplete: 0x43,
  copyBothResponse: 0x57,
  copyData: 0x64,
  copyDone: 0x63,
  copyInResponse: 0x47,
  copyOutResponse: 0x48,
  dataRow: 0x44,
  emptyQueryResponse: 0x49,
  errorResponse: 0x45,
  functionCallResponse: 0x56,
  negotiateProtocolVersion: 0x76,
  noData: 0x6e,
  noticeResponse: 0x4e,
  notificationResponse: 0x41,
  parameterDescription: 0x74,
  parameterStatus: 0x53,
  parseComplete: 0x31,
  portalSuspended: 0x73,
  readyForQuery: 0x5a,
  rowDescription: 0x54,
} as const;

/** Longest length word of small messages: PQ_SMALL_MESSAGE_LIMIT of PostgreSQL's libpq.h. */
const SMALL = 10_000;
/** Longest length word of the others: PQ_LARGE_MESSAGE_LIMIT, MaxAllocSize - 1. */
const LARGE = 0x3fff_fffe;
/** Messages without a body: only the length word itself. */
const NO_BODY = 4;

const LIMITS = new Map<number, number>([
  [Frontend.query, LARGE],
  [Frontend.functionCall, LARGE],
  [Frontend.parse, LARGE],
  [Frontend.bind, LARGE],
  [Frontend.copyData, LARGE],
  [Frontend.close, SMALL],
  [Frontend.describe, SMALL],
  [Frontend.execute, SMALL],
  [Frontend.copyFail, SMALL],
  // A Flush with a body makes PostgreSQL swallow the message behind it.
  [Frontend.flush, NO_BODY],
  [Frontend.sync, NO_BODY],
  [Frontend.copyDone, NO_BODY],
  [Frontend.terminate, NO_BODY],
]);

/** By type byte: the greatest length word a client may send after login; 0 for types it may not send. */
export const FRONTEND_LIMIT: Uint32Array = Uint32Array.from(
  { length: 256 },
  (_, type) => LIMITS.get(type) ?? 0,
);

/** The greatest length word accepted from a server: what its own int32 can say. */
export const BACKEND_LIMIT = 0x7fff_ffff;

/** What is wrong with a header that {@link FRONTEND_LIMIT} does not allow, in PostgreSQL's words. */
export function frontendViolation(type: number, word: number): GatewayError {
  if ((FRONTEND_LIMIT[type] ?? 0) === 0) {
    return new GatewayError('protocol_violation', `invalid frontend message type ${type}`);
  }
  const detail = `message type ${type}, length ${word}`;
  return new GatewayError('protocol_violation', 'invalid message length', { detail });
}

/** The type of the last message in bytes that begin and end at message boundaries; undefined for other bytes. */
export function lastType(bytes: Buffer): number | undefined {
  let type: number | undefined;
  let at = 0;
  while (bytes.length - at >= HEADER_BYTES) {
    type = bytes[at];
    const word = bytes.readUInt32BE(at + 1);
    if (word < 4) return undefined;
    at += 1 + word;
  }
  return at === bytes.length ? type : undefined;
}

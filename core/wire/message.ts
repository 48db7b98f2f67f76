/** Builds one complete message out of its fields. */
import { GatewayError } from '../contract/errors.ts';

/** PQ_LARGE_MESSAGE_LIMIT (PostgreSQL `libpq/libpq.h`, MaxAllocSize - 1): a longer message ends the connection. */
const MAX_MESSAGE = 0x3fff_fffe;

/** Byte1 out of a character. */
export const byte1 = (character: string): Buffer => Buffer.from(character, 'latin1');

/** Int16; also takes up to 65535, the counts that PostgreSQL reads unsigned. Throws RangeError beyond 16 bits. */
export function int16(value: number): Buffer {
  const field = Buffer.allocUnsafe(2);
  if (value < 0) field.writeInt16BE(value);
  else field.writeUInt16BE(value);
  return field;
}

/** Int32; also takes up to 2³²-1, the object ids. Throws RangeError beyond 32 bits. */
export function int32(value: number): Buffer {
  const field = Buffer.allocUnsafe(4);
  if (value < 0) field.writeInt32BE(value);
  else field.writeUInt32BE(value);
  return field;
}

/**
 * String: UTF-8 with a zero byte behind it.
 * @throws GatewayError `protocol_violation` if the text has a zero byte, which would let it write the next field
 */
export function cstring(text: string): Buffer {
  if (text.includes('\0')) throw new GatewayError('protocol_violation', 'text with a zero byte in a message');
  return Buffer.from(`${text}\0`, 'utf8');
}

/** Bytes behind their Int32 length; undefined is the length -1, which is SQL NULL. */
export function sized(bytes: Uint8Array | undefined): Buffer {
  return bytes ? Buffer.concat([int32(bytes.length), bytes]) : int32(-1);
}

/**
 * A message: its type byte, its length, which counts itself, and its fields.
 * @throws GatewayError `program_limit_exceeded` if it is longer than PostgreSQL reads (1 GiB)
 */
export function message(type: string, fields: readonly Uint8Array[] = []): Buffer {
  return Buffer.concat([byte1(type), length(fields), ...fields]);
}

/** A message without type byte, as the first one on a connection is. @throws GatewayError as {@link message} does */
export function untyped(fields: readonly Uint8Array[]): Buffer {
  return Buffer.concat([length(fields), ...fields]);
}

function length(fields: readonly Uint8Array[]): Buffer {
  let bytes = 4;
  for (const field of fields) bytes += field.length;
  if (bytes > MAX_MESSAGE) throw new GatewayError('program_limit_exceeded', 'message is too long');
  return int32(bytes);
}

/** Reads one message body field by field, and never past its end. */
import { constants, isAscii } from 'node:buffer';
import { GatewayError } from '../contract/errors.ts';
import { strictUtf8 } from './text.ts';

/** PostgreSQL's own words for a message that is too short (`pq_copymsgbytes`). */
const TOO_SHORT = 'insufficient data left in message';
/** PostgreSQL's own words for a message that is too long (`pq_getmsgend`). */
const TOO_LONG = 'invalid message format';
/** PostgreSQL's own words for a string without its zero byte (`pq_getmsgstring`). */
const NO_TERMINATOR = 'invalid string in message';

/**
 * A cursor over a message body, without the type byte and the length (manual, 55.6 "Message Data Types").
 * Every method throws GatewayError `protocol_violation` where the body is too short, before it slices or allocates.
 */
export class BodyReader {
  readonly #body: Buffer;
  #at: number;

  constructor(body: Buffer, at = 0) {
    this.#body = body;
    this.#at = at;
  }

  /** Offset of the next field in bytes. */
  get at(): number {
    return this.#at;
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#body.length - this.#at;
  }

  /** Byte1 as a number, 0 to 255. */
  byte(): number {
    return this.#body.readUInt8(this.#skip(1));
  }

  int16(): number {
    return this.#body.readInt16BE(this.#skip(2));
  }

  uint16(): number {
    return this.#body.readUInt16BE(this.#skip(2));
  }

  int32(): number {
    return this.#body.readInt32BE(this.#skip(4));
  }

  uint32(): number {
    return this.#body.readUInt32BE(this.#skip(4));
  }

  /** The next `length` bytes as a view of the body: copy what is kept. `length` is any non-negative number. */
  bytes(length: number): Buffer {
    const start = this.#skip(length);
    return this.#body.subarray(start, start + length);
  }

  /** Bytes behind an int32 length as a view; undefined for the length -1, which is SQL NULL. */
  sized(): Buffer | undefined {
    // Read unsigned: every other negative length is then longer than any body.
    const length = this.uint32();
    return length === 0xffff_ffff ? undefined : this.bytes(length);
  }

  /** A zero-terminated string without its terminator, as a view. `max` limits its bytes. */
  cstringBytes(max = Infinity): Buffer {
    const end = this.#body.indexOf(0, this.#at);
    if (end < 0 || this.left === 0) throw new GatewayError('protocol_violation', NO_TERMINATOR);
    const length = end - this.#at;
    if (length > max) throw new GatewayError('protocol_violation', `string in message exceeds ${max} bytes`);
    const text = this.bytes(length);
    this.#at += 1;
    return text;
  }

  /**
   * A zero-terminated string as UTF-8, invalid sequences replaced by U+FFFD: never send it on, see `strictUtf8`.
   * @throws GatewayError `program_limit_exceeded` beyond what a JavaScript string holds (512 MiB)
   */
  cstring(max = Infinity): string {
    const bytes = this.cstringBytes(max);
    if (bytes.length > constants.MAX_STRING_LENGTH) {
      throw new GatewayError('program_limit_exceeded', 'string in message is too long to be decoded');
    }
    return bytes.toString('utf8');
  }

  /**
   * The zero-terminated name of a statement or portal. Strict, because two names that are replaced to the same text
   * would be one name for the gateway and two for the server.
   * @throws GatewayError `protocol_violation` if it is not valid UTF-8
   */
  name(): string {
    // Most portals, and the statements of many drivers, have the empty name.
    if (this.#body[this.#at] === 0) {
      this.#at += 1;
      return '';
    }
    const bytes = this.cstringBytes();
    return isAscii(bytes) ? bytes.toString('latin1') : strictUtf8(bytes, 'name of a statement or portal');
  }

  /** All that is left, as a view. */
  rest(): Buffer {
    return this.bytes(this.left);
  }

  /** @throws GatewayError `protocol_violation` if bytes are left */
  end(): void {
    if (this.left !== 0) throw new GatewayError('protocol_violation', TOO_LONG);
  }

  #skip(length: number): number {
    const start = this.#at;
    if (length > this.left) throw new GatewayError('protocol_violation', TOO_SHORT);
    this.#at += length;
    return start;
  }
}

/** A server's bytes, split into whole messages, within limits. */
import { HEADER_BYTES } from '../wire/frames.ts';
import { unreachable } from './refusals.ts';

/** One message of a server. */
export interface ServerMessage {
  /** Its type byte. */
  readonly type: number;
  /** Without type byte and length. */
  readonly body: Buffer;
}

/** Longest length word accepted: an ErrorResponse at login is below 30 000 bytes for libpq, a key 260. */
const MESSAGE_LIMIT = 65_536;
/** Bytes a server may send during one conversation; PostgreSQL sends about 1 KiB at a login, and notices of triggers. */
const TOTAL_LIMIT = 1_048_576;

/** One per conversation. */
export class ServerMessages {
  #chunks: Buffer[] = [];
  #held = 0;
  #total = 0;

  /** Adds a copy of a chunk. */
  add(chunk: Buffer): void {
    this.#chunks.push(Buffer.from(chunk));
    this.#held += chunk.length;
    this.#total += chunk.length;
  }

  /** The next whole message. @throws GatewayError `sqlclient_unable_to_establish_sqlconnection` beyond the limits */
  take(): ServerMessage | undefined {
    if (this.#held < HEADER_BYTES) return undefined;
    const length = this.#joined(HEADER_BYTES).readUInt32BE(1);
    if (length < 4 || length > MESSAGE_LIMIT || this.#total > TOTAL_LIMIT)
      throw outOfBounds(length, this.#total);
    if (this.#held < length + 1) return undefined;
    const whole = this.#joined(length + 1);
    this.#chunks = [whole.subarray(length + 1)];
    this.#held -= length + 1;
    return { type: whole.readUInt8(0), body: whole.subarray(HEADER_BYTES, length + 1) };
  }

  /** Removes the bytes that were not taken. */
  rest(): Buffer {
    const rest = Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#held = 0;
    return rest;
  }

  /** The held bytes as one buffer, joined only if the first chunk has fewer than `wanted`. */
  #joined(wanted: number): Buffer {
    const [first] = this.#chunks;
    if (first && first.length >= wanted) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}

function outOfBounds(length: number, total: number): Error {
  const what = total > TOTAL_LIMIT ? `${total} bytes before it was ready` : `a message with length ${length}`;
  return unreachable(new Error(`the server sent ${what}`));
}

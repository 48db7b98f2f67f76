/** The bytes for the server of one chunk of the client: parts of the chunk and replacements, put together for one write. */

/** Size of the buffer that is used again and again, in bytes. */
const SPARE_BYTES = 16_384;
/** Undefined while parts are being put together in it. */
let spare: Buffer | undefined = Buffer.allocUnsafeSlow(SPARE_BYTES);

/** The receiver of the bytes. */
interface Target {
  /** Writes a copy of a part of them. */
  toServer(bytes: Buffer, from: number, to: number): void;
}

/** One per session; between two chunks it holds nothing. */
export class PendingWrite {
  /** A part of the chunk if it is the only one; else all parts, in a buffer with room for more. */
  #bytes: Buffer | undefined;
  #from = 0;
  #to = 0;
  #isOwn = false;

  /** The number of bytes. */
  get length(): number {
    return this.#to - this.#from;
  }

  /** Adds a part of `data`, which must not change before it is {@link flush}ed. */
  add(data: Buffer, from: number, to: number): void {
    if (to <= from) return;
    if (this.#to > this.#from) {
      const target = this.#room(to - from);
      data.copy(target, this.#to, from, to);
      this.#to += to - from;
    } else {
      this.clear();
      this.#bytes = data;
      this.#from = from;
      this.#to = to;
    }
  }

  /** Adds characters below 256 as the bytes with their numbers. */
  addLatin1(text: string): void {
    this.#room(text.length).write(text, this.#to, 'latin1');
    this.#to += text.length;
  }

  /** Writes the length of the message that begins behind the first `start` bytes and ends here. */
  endMessage(start: number): void {
    this.#room(0).writeUInt32BE(this.#to - start - 1, start + 1);
  }

  /** Writes all bytes, if there are any. */
  flush(target: Target): void {
    if (!this.#bytes) return;
    try {
      target.toServer(this.#bytes, this.#from, this.#to);
    } finally {
      this.clear();
    }
  }

  /** Drops all bytes. */
  clear(): void {
    if (this.#isOwn && this.#bytes?.length === SPARE_BYTES) spare = this.#bytes;
    this.#bytes = undefined;
    this.#isOwn = false;
    this.#from = this.#to = 0;
  }

  /** A buffer of its own with all bytes and room for `bytes` more. */
  #room(bytes: number): Buffer {
    const { length } = this;
    if (this.#bytes && this.#isOwn && this.#bytes.length >= length + bytes) return this.#bytes;
    const larger = bufferOf(length + bytes);
    this.#bytes?.copy(larger, 0, this.#from, this.#to);
    this.clear();
    this.#bytes = larger;
    this.#isOwn = true;
    this.#to = length;
    return larger;
  }
}

function bufferOf(bytes: number): Buffer {
  const taken = bytes <= SPARE_BYTES ? spare : undefined;
  if (!taken) return Buffer.allocUnsafe(2 * bytes);
  spare = undefined;
  return taken;
}

/** The unfinished message at the end of the received bytes: grows by doubling, and is read again only when enough has arrived. */

/** Appends chunks in amortised constant time per byte, whatever their size. */
export class MessageBuffer {
  #buffer: Buffer | undefined;
  #length = 0;
  #needed = 0;

  get length(): number {
    return this.#length;
  }

  /** Starts anew with a copy of `bytes` from `from` on; {@link add} returns them when `needed` bytes in all have arrived. */
  hold(bytes: Buffer, from: number, needed: number): void {
    this.#length = 0;
    this.#buffer = undefined;
    this.#needed = needed;
    if (bytes.length > from) this.#append(bytes, from);
  }

  /** Adds a chunk. Returns all held bytes once there are enough, and holds nothing then. */
  add(chunk: Buffer): Buffer | undefined {
    this.#append(chunk, 0);
    return this.#length < this.#needed ? undefined : this.take();
  }

  /** All held bytes; they stay held. */
  get bytes(): Buffer | undefined {
    return this.#buffer?.subarray(0, this.#length);
  }

  /** Takes all held bytes, enough or not; undefined if there are none. */
  take(): Buffer | undefined {
    const all = this.bytes;
    this.#length = 0;
    this.#buffer = undefined;
    return all;
  }

  #append(chunk: Buffer, from: number): void {
    const length = this.#length + chunk.length - from;
    if (!this.#buffer || this.#buffer.length < length) {
      const larger = Buffer.allocUnsafe(Math.max(length, 2 * (this.#buffer?.length ?? 0), 256));
      this.#buffer?.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#length, from);
    this.#length = length;
  }
}

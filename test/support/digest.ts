/** Counts and hashes the server's messages as they stream by, without keeping them. */
import { createHash } from 'node:crypto';

const HEADER_BYTES = 5;
const READY = 'Z'.charCodeAt(0);

/** One answer: everything up to and including its ReadyForQuery. */
export class Digest {
  bytes = 0;
  /** Messages by their type letter. */
  readonly messages: Record<string, number> = {};
  /** Resolves with the SHA-256 of the answer in hex. */
  readonly complete: Promise<string>;
  readonly #hash = createHash('sha256');
  #head = Buffer.alloc(0);
  #rest = 0;
  #done: (sum: string) => void = () => {};

  constructor() {
    this.complete = new Promise((resolve) => {
      this.#done = resolve;
    });
  }

  push(chunk: Buffer): void {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
    let data = chunk;
    if (this.#head.length > 0) {
      data = Buffer.concat([this.#head, chunk]);
      this.#head = Buffer.alloc(0);
    }
    this.#walk(data);
  }

  #walk(data: Buffer): void {
    let at = Math.min(this.#rest, data.length);
    this.#rest -= at;
    while (data.length - at >= HEADER_BYTES) {
      const type = data[at] ?? 0;
      const end = at + 1 + data.readUInt32BE(at + 1);
      const letter = String.fromCharCode(type);
      this.messages[letter] = (this.messages[letter] ?? 0) + 1;
      if (type === READY) this.#done(this.#hash.digest('hex'));
      this.#rest = Math.max(0, end - data.length);
      at = Math.min(end, data.length);
    }
    this.#head = Buffer.from(data.subarray(at));
  }
}

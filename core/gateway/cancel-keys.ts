/** Cancel keys of our own: what a client sends to stop its running statement, never the server's key. */
import { randomFillSync, randomInt, timingSafeEqual } from 'node:crypto';
import { cancelKeyLength } from '../wire/version.ts';

/** What BackendKeyData tells a client (manual, 55.7). */
export interface CancelKey {
  readonly processId: number;
  readonly secret: Buffer;
}

interface Holder {
  readonly secret: Buffer;
  cancel(): Promise<void>;
}

/** Process ids are positive 32-bit integers for every driver. */
const LARGEST_ID = 0x7fffffff;

/** Random bytes of the system, drawn a page at a time: a draw per session costs more than all else about its key. */
class Randomness {
  readonly #page = Buffer.alloc(4_096);
  #used = this.#page.length;

  /** Bytes that nobody else gets, and of which no copy stays here. */
  take(length: number): Buffer {
    if (this.#used + length > this.#page.length) {
      randomFillSync(this.#page);
      this.#used = 0;
    }
    const [from, to] = [this.#used, this.#used + length];
    const bytes = Buffer.from(this.#page.subarray(from, to));
    this.#page.fill(0, from, to);
    this.#used = to;
    return bytes;
  }
}

/** The keys of all open sessions. */
export class CancelKeys {
  readonly #holders = new Map<number, Holder>();
  readonly #random = new Randomness();

  get size(): number {
    return this.#holders.size;
  }

  /** Makes an unguessable key for a session; `cancel` runs when a client presents it. `minor` is the protocol's. */
  issue(minor: number, cancel: () => Promise<void>): CancelKey {
    const secret = this.#random.take(cancelKeyLength(minor));
    let processId = randomInt(1, LARGEST_ID);
    while (this.#holders.has(processId)) processId = randomInt(1, LARGEST_ID);
    this.#holders.set(processId, { secret, cancel });
    return { processId, secret };
  }

  /** Forgets a key; a cancel that comes later hits nothing. */
  revoke(key: CancelKey): void {
    this.#holders.delete(key.processId);
  }

  /** Does what the key's owner asks for, and resolves when that is done. Unknown and wrong keys do nothing. */
  async present(processId: number, secret: Buffer): Promise<void> {
    const holder = this.#holders.get(processId);
    if (!holder || holder.secret.length !== secret.length) return;
    if (timingSafeEqual(holder.secret, secret)) await holder.cancel();
  }
}

/** Cancel keys that the gateway makes: what a client sends to stop its running statement, never the server's key. */
import { randomFillSync, randomInt, timingSafeEqual } from 'node:crypto';
import { cancelKeyLength } from '../wire/version.ts';

/** What BackendKeyData tells a client (manual, 55.7). */
export interface CancelKey {
  readonly processId: number;
  readonly secret: Buffer;
}

/** What a key cancels. */
export interface Cancelable {
  /** Resolves when the cancel can no longer hit anything else. */
  cancel(): Promise<void>;
}

interface Holder {
  readonly secret: Buffer;
  readonly owner: Cancelable;
}

/** Process ids are positive 32-bit integers for every driver. */
const LARGEST_ID = 0x7fffffff;
/**
 * Above the process ids of every server, the largest of Linux being 2^22: where a client is told an id of the gateway, its
 * `pg_terminate_backend` of it hits no process.
 */
const LEAST_ID = 2 ** 22 + 1;

/** Random bytes of the system, drawn a page at a time: a draw per session costs more than all else about its key. */
class Randomness {
  readonly #page = Buffer.alloc(4_096);
  #used = this.#page.length;

  /** Bytes that are given once, and of which no copy stays here. */
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
  /** By process id, which sessions on different servers may have in common: their secrets tell them apart. */
  readonly #holders = new Map<number, readonly Holder[]>();
  readonly #random = new Randomness();

  get size(): number {
    return [...this.#holders.values()].reduce((sum, holders) => sum + holders.length, 0);
  }

  /**
   * Makes a key for a session; `owner` is cancelled when a client presents it. The secret is random: 32 bits with protocol 3.0, as
   * PostgreSQL's own, and 256 from 3.2 on. A key that has to lead to another process of the gateway can say so in a secret of
   * 3.2; with 3.0 only in its id, which is then not the server's.
   * @param minor the protocol's minor version
   * @param processId that of the server process, which is no secret, where the session keeps one. Default: a random one of the gateway
   */
  issue(minor: number, owner: Cancelable, processId = this.#unusedId()): CancelKey {
    const others = this.#holders.get(processId) ?? [];
    let secret = this.#random.take(cancelKeyLength(minor));
    while (others.some((other) => other.secret.equals(secret))) secret = this.#random.take(secret.length);
    this.#holders.set(processId, [...others, { secret, owner }]);
    return { processId, secret };
  }

  /** Forgets a key; a cancel that comes later hits nothing. */
  revoke({ processId, secret }: CancelKey): void {
    const others = this.#holders.get(processId)?.filter((holder) => holder.secret !== secret) ?? [];
    if (others.length > 0) this.#holders.set(processId, others);
    else this.#holders.delete(processId);
  }

  /** Does what the key's owner asks for, and resolves when that is done. Unknown and wrong keys do nothing. */
  async present(processId: number, secret: Buffer): Promise<void> {
    const holder = this.#holders.get(processId)?.find((one) => isSame(one.secret, secret));
    await holder?.owner.cancel();
  }

  #unusedId(): number {
    for (;;) {
      const id = randomInt(LEAST_ID, LARGEST_ID);
      if (!this.#holders.has(id)) return id;
    }
  }
}

/** However much of a guess is right, it takes the same time. */
function isSame(secret: Buffer, given: Buffer): boolean {
  return secret.length === given.length && timingSafeEqual(secret, given);
}

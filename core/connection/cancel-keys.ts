/** Cancel keys that the gateway makes: what a client sends to stop its running statement, never the server's key. */
import { randomFillSync, randomInt, timingSafeEqual } from 'node:crypto';
import { cancelKeyLength } from '../wire/version.ts';
import { LARGEST_ID, LARGEST_SERVER_ID, idOf, markSecret } from './cancel-key-format.ts';
import type { KeyIssuer } from './cancel-key-format.ts';

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

/** The other workers of the gateway, and those of other instances of its fleet, where there are any. */
export interface OtherWorkers {
  /** What the keys of this worker carry. Read anew for each key. */
  readonly own: KeyIssuer;
  /** Presents a key that is not known here to them, and resolves as {@link CancelKeys.present} does. */
  present(key: CancelKey, address: string): Promise<void>;
}

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

/** How often an id is drawn that no session has: the ids of a worker of a fleet are 2¹⁵, and it may have more sessions. */
const DRAWS = 8;

/** The keys of all open sessions. */
export class CancelKeys {
  /** By process id, which sessions on different servers may have in common: their secrets tell them apart. */
  readonly #holders = new Map<number, readonly Holder[]>();
  readonly #random = new Randomness();
  readonly #others: OtherWorkers | undefined;

  /** @param others Default: this process is the only one, and keys carry no number */
  constructor(others?: OtherWorkers) {
    this.#others = others;
  }

  get size(): number {
    return [...this.#holders.values()].reduce((sum, holders) => sum + holders.length, 0);
  }

  /**
   * Makes a key for a session; `owner` is cancelled when a client presents it. The secret is random: 32 bits with protocol 3.0, as
   * PostgreSQL's own, and 256 from 3.2 on, of which 224 are left where it carries the number of a worker.
   * @param minor the protocol's minor version
   * @param processId that of the server process, which is no secret, where the session keeps one. Default: a random one of the gateway
   */
  issue(minor: number, owner: Cancelable, processId?: number): CancelKey {
    const id = processId !== undefined && this.#mayShow(processId, minor) ? processId : this.#newId();
    const others = this.#holders.get(id) ?? [];
    let secret = this.#newSecret(minor);
    while (others.some((other) => other.secret.equals(secret))) secret = this.#newSecret(minor);
    this.#holders.set(id, [...others, { secret, owner }]);
    return { processId: id, secret };
  }

  /** Forgets a key; a cancel that comes later hits nothing. */
  revoke({ processId, secret }: CancelKey): void {
    const others = this.#holders.get(processId)?.filter((holder) => holder.secret !== secret) ?? [];
    if (others.length > 0) this.#holders.set(processId, others);
    else this.#holders.delete(processId);
  }

  /**
   * Does what the key's owner asks for, and resolves when that is done. Unknown and wrong keys do nothing.
   * @param address that of the client
   */
  async present(processId: number, secret: Buffer, address = ''): Promise<void> {
    const here = this.cancel(processId, secret);
    if (here) await here;
    else await this.#others?.present({ processId, secret }, address);
  }

  /** As {@link present}, of sessions of this process alone; undefined: the key is unknown or wrong. */
  cancel(processId: number, secret: Buffer): Promise<void> | undefined {
    return this.#holder(processId, secret)?.owner.cancel();
  }

  /** Whether a session of this process has the key. */
  has({ processId, secret }: CancelKey): boolean {
    return this.#holder(processId, secret) !== undefined;
  }

  #holder(processId: number, secret: Buffer): Holder | undefined {
    return this.#holders.get(processId)?.find((one) => isSame(one.secret, secret));
  }

  /** With protocol 3.0 a key without an id of the gateway must be recognized as such by other workers: servers that are no PostgreSQL have larger ids. */
  #mayShow(processId: number, minor: number): boolean {
    return !this.#others || processId <= LARGEST_SERVER_ID || cancelKeyLength(minor) > cancelKeyLength(0);
  }

  #newSecret(minor: number): Buffer {
    const secret = this.#random.take(cancelKeyLength(minor));
    if (this.#others) markSecret(secret, this.#others.own);
    return secret;
  }

  /** Of no other session, as far as there are such: those that share one differ in their secrets. */
  #newId(): number {
    for (let draws = 1; ; draws += 1) {
      const id = this.#others ? idOf(this.#others.own) : randomInt(LARGEST_SERVER_ID + 1, LARGEST_ID);
      if (!this.#holders.has(id) || draws === DRAWS) return id;
    }
  }
}

/** However much of a guess is right, it takes the same time. */
function isSame(secret: Buffer, given: Buffer): boolean {
  return secret.length === given.length && timingSafeEqual(secret, given);
}

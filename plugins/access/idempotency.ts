/** Requests that come twice under one key are done once (draft-ietf-httpapi-idempotency-key-header). */
import { createHash } from 'node:crypto';
import { Refused } from './refused.ts';

/** What was done under a key, or is being done. */
interface Entry {
  /** Of the request: another one under the same key is a mistake. */
  readonly print: string;
  /** In milliseconds since the epoch. */
  until: number;
  /** Absent while it is being done. */
  answer?: unknown;
}

/** More are not remembered: the oldest are forgotten for them. */
const MOST = 10_000;

/** One per gateway; outlives reloads. Keys belong to callers: nobody meets another's. */
export class Idempotency {
  readonly #entries = new Map<string, Entry>();

  /**
   * Does the work, or gives what it gave under this key before; what fails may be tried again. Answers are remembered until
   * the time, in milliseconds since the epoch, that `until` says.
   * @throws Refused 422 for another request under the key, 409 while the first one is under way; what `work` throws
   */
  async once<T>(
    { owner, key, request }: { readonly owner: string; readonly key: string; readonly request: unknown },
    work: () => Promise<T>,
    until: (answer: T) => number,
  ): Promise<T> {
    const name = hash([owner, key]);
    const print = hash(request);
    const known = this.#find(name);
    if (known && known.print !== print) {
      const more = { status: 422 };
      throw new Refused('conflict', 'this Idempotency-Key was used for another request', more);
    }
    if (known?.answer !== undefined) return known.answer as T;
    if (known) throw new Refused('conflict', 'the request with this Idempotency-Key is under way');
    const entry: Entry = { print, until: Infinity };
    this.#put(name, entry);
    try {
      const answer = await work();
      entry.answer = answer;
      entry.until = until(answer);
      return answer;
    } catch (error) {
      this.#entries.delete(name);
      throw error;
    }
  }

  #find(name: string): Entry | undefined {
    const entry = this.#entries.get(name);
    if (entry && entry.until > Date.now()) return entry;
    this.#entries.delete(name);
    return undefined;
  }

  #put(name: string, entry: Entry): void {
    for (const [old, { until }] of this.#entries) {
      if (this.#entries.size < MOST && until > Date.now()) break;
      this.#entries.delete(old);
    }
    this.#entries.set(name, entry);
  }
}

function hash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url');
}

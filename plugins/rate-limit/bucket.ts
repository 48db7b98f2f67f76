/** Token buckets in memory: how many may come now, by the time at which a bucket will be full again. */

/** How much fits in, and how fast it fills. */
export interface Bucket {
  /** Milliseconds in which there is room for one more. */
  readonly intervalMs: number;
  /** How many at once, a whole number. */
  readonly size: number;
}

/** What comes of asking. */
export type Answer =
  | { readonly kind: 'go' }
  /** Taken ahead of time: go in so many milliseconds. */
  | { readonly kind: 'wait'; readonly ms: number }
  /** Nothing was taken: try again in so many milliseconds. */
  | { readonly kind: 'no'; readonly ms: number };

/** There is room. */
export const GO: Answer = { kind: 'go' };
/** Takes whatever the bucket has: what came already is counted, and the next has to wait. Milliseconds, some 24 days. */
export const ANYHOW_MS = 2 ** 31;
/** Sums of intervals are not exact. Far less than the time in which one more comes in, at any sensible rate. */
export const ROUNDING_MS = 0.01;
/** How many of the oldest are looked at whenever a new one comes. */
const SWEPT = 2;

/** The buckets of one limit, by key. There is no timer and no promise; memory is bounded by `limit`. */
export class Buckets {
  /** When each bucket is full again, by a clock that is never set; the one used longest ago comes first. */
  readonly #fullAt = new Map<string, number>();
  readonly #limit: number;
  readonly #now: () => number;

  /** `limit`: most keys to remember. `now` is for tests. Default: milliseconds since the start of the process. */
  constructor(limit: number, now: () => number = () => performance.now()) {
    this.#limit = limit;
    this.#now = now;
  }

  /** How many keys are remembered. A bucket that is full need not be. */
  get size(): number {
    return this.#fullAt.size;
  }

  /** Whether all of them are full: nothing is lost with them. */
  get full(): boolean {
    const now = this.#now();
    return [...this.#fullAt.values()].every((full) => full <= now);
  }

  /**
   * Takes so many, up to `aheadMs` before there is room for them, or none. 0 asks whether more has been taken than there
   * is; a negative number is given back.
   */
  take(key: string, { intervalMs, size }: Bucket, points: number, aheadMs: number): Answer {
    const now = this.#now();
    const full = Math.max(this.#fullAt.get(key) ?? 0, now) + points * intervalMs;
    const ms = full - now - size * intervalMs - ROUNDING_MS;
    if (ms > aheadMs) return { kind: 'no', ms };
    if (points !== 0) this.#remember(key, full, now);
    return ms > 0 ? { kind: 'wait', ms } : GO;
  }

  #remember(key: string, full: number, now: number): void {
    const known = this.#fullAt.delete(key);
    if (full <= now) return;
    if (!known) this.#makeRoom(now);
    this.#fullAt.set(key, full);
  }

  #makeRoom(now: number): void {
    let looked = 0;
    for (const [key, full] of this.#fullAt) {
      if (full <= now || this.#fullAt.size >= this.#limit) this.#fullAt.delete(key);
      looked += 1;
      if (looked === SWEPT) return;
    }
  }
}

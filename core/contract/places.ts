/** How many there are of something, over all workers of the gateway. */
import type { MaybePromise } from './session.ts';

/** One thing to count. */
export interface PlaceRequest {
  /** Equal for what is counted together. */
  readonly key: string;
  /** The most that there may be, over all workers. Default: no limit, and only counted. */
  readonly limit?: number;
}

/** Counts that hold over all workers: what a worker that dies has taken is free again. */
export interface Places {
  /**
   * Takes one place of each key, or none at all: gives the first key that is full, and undefined where all are taken. Call {@link give} once for those.
   *
   * @throws Error where the gateway stops meanwhile
   */
  take(places: readonly PlaceRequest[]): MaybePromise<string | undefined>;
  /** Gives back one place of each key. */
  give(keys: readonly string[]): void;
}

/** How many places of each key each worker has taken. */
import type { MaybePromise } from '../contract/session.ts';

/** A key, and the most that there may be of it over all workers. */
export type Wanted = readonly [key: string, limit: number];

/** Where the places of several workers are counted. */
export interface CountedPlaces {
  /** How many keys are counted. */
  readonly size: number;
  /** Takes all places or none: the first key that is full, or undefined. @throws Error where it cannot be said */
  take(worker: number, places: readonly Wanted[]): MaybePromise<string | undefined>;
  /** One of each key. Those that the worker does not have are ignored. */
  give(worker: number, keys: readonly string[]): void;
  /** The worker has ended: all of its places are free. */
  left(worker: number): void;
}

/** Exact, since one process counts. */
export class PlaceCounts implements CountedPlaces {
  readonly #totals = new Map<string, number>();
  readonly #taken = new Map<number, Map<string, number>>();

  get size(): number {
    return this.#totals.size;
  }

  count(key: string): number {
    return this.#totals.get(key) ?? 0;
  }

  take(worker: number, places: readonly Wanted[]): string | undefined {
    const full = places.find(([key, limit]) => this.count(key) >= limit);
    if (full) return full[0];
    for (const [key] of places) this.add(worker, key);
    return undefined;
  }

  /** One more of a key, whatever its limit. */
  add(worker: number, key: string): void {
    this.#change(worker, key, 1);
  }

  give(worker: number, keys: readonly string[]): void {
    const own = this.#taken.get(worker);
    for (const key of keys) if (own?.has(key)) this.#change(worker, key, -1);
  }

  left(worker: number): void {
    for (const [key, count] of this.#taken.get(worker) ?? []) add(this.#totals, key, -count);
    this.#taken.delete(worker);
  }

  /** The keys of which a worker has places. */
  keysOf(worker: number): readonly string[] {
    return [...(this.#taken.get(worker)?.keys() ?? [])];
  }

  #change(worker: number, key: string, by: number): void {
    const own = this.#taken.get(worker) ?? new Map<string, number>();
    this.#taken.set(worker, own);
    add(own, key, by);
    add(this.#totals, key, by);
  }
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const now = (counts.get(key) ?? 0) + by;
  if (now > 0) counts.set(key, now);
  else counts.delete(key);
}

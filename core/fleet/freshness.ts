/** Since when an instance has not heard of the others. */
import type { Timers } from '../workers/timers.ts';

/** Without an answer for so long, in milliseconds, the store counts as away. */
const NOTICED_MS = 1_500;

/** What is needed of the world around. */
interface FreshnessParts {
  readonly timers: Timers;
  readonly clock: () => number;
  /** `fleet.stale`, in milliseconds. */
  readonly staleMs: number;
  readonly changed: () => void;
}

/** Begins stale: the store has never answered. */
export class Freshness {
  /** In milliseconds since the epoch. Undefined: the store answers. */
  staleSince: number | undefined;
  isStale = true;
  readonly #parts: FreshnessParts;
  #stop = (): void => undefined;

  constructor(parts: FreshnessParts) {
    this.#parts = parts;
    this.staleSince = parts.clock();
  }

  /** All that the others had told until then is known here; `asOf` is by the timers. */
  confirm(asOf: number): void {
    const { timers, clock, staleMs, changed } = this.#parts;
    const age = timers.now() - asOf;
    if (age >= staleMs) return;
    this.#stop();
    const since = clock() - age;
    const noticed = Math.min(NOTICED_MS, staleMs);
    this.#stop = timers.after(Math.max(0, noticed - age), () => this.#missed(since, staleMs - noticed));
    const did = this.staleSince !== undefined || this.isStale;
    this.staleSince = undefined;
    this.isStale = false;
    if (did) changed();
  }

  close(): void {
    this.#stop();
  }

  #missed(since: number, staleInMs: number): void {
    this.staleSince = since;
    this.#stop = this.#parts.timers.after(staleInMs, () => {
      this.isStale = true;
      this.#parts.changed();
    });
    this.#parts.changed();
  }
}

/** When a source of keys may be asked again: by its own pace, after failures less and less often, and never before it wants to be. */
import { ServerBusy } from './download.ts';
import type { Pace } from './key-source.ts';
import { reasonOf } from './question.ts';

/** Longest pause between questions while there is no set, in milliseconds. */
const LONGEST_RETRY_MS = 30_000;
/** The same while there is no set and so no login, in milliseconds: a page in front of the issuer may ask for hours. */
const LONGEST_OUTAGE_MS = 60_000;
/** Longest pause that a server is granted that asks for one, in milliseconds. */
const LONGEST_PEACE_MS = 3_600_000;

/** One per source. By the monotonic clock. */
export class AskPace {
  readonly #pace: Pace;
  #failures = 0;
  #triedAt = -Infinity;
  /** The server has asked not to be asked before. */
  #busyUntil = -Infinity;
  /** Why there is no fresh answer. */
  reason = 'not asked yet';

  constructor(pace: Pace) {
    this.#pace = pace;
  }

  /** Whether the last question has failed. */
  get failing(): boolean {
    return this.#failures > 0;
  }

  /** A question is asked now. */
  begin(): void {
    this.#triedAt = performance.now();
  }

  /** Another worker has asked, and was answered so long ago. */
  heard(ageMs: number): void {
    this.#triedAt = performance.now() - ageMs;
    this.answered();
  }

  /** It was answered. */
  answered(): void {
    this.#failures = 0;
    this.#busyUntil = -Infinity;
    this.reason = 'too old';
  }

  /** It was not. */
  failed(error: unknown): void {
    this.#failures += 1;
    this.reason = reasonOf(error);
    const peace = error instanceof ServerBusy ? Math.min(error.retryAfterMs, LONGEST_PEACE_MS) : 0;
    this.#busyUntil = performance.now() + peace;
  }

  /** Whether a login has to wait for a new answer. */
  get isDue(): boolean {
    return performance.now() - this.#triedAt >= this.#pace.wait;
  }

  /** Whether a key that is not in the set is worth a question. */
  get allowsUnknown(): boolean {
    const now = performance.now();
    return now - this.#triedAt >= this.#pace.unknown && now >= this.#busyUntil;
  }

  /** How long to wait for the next question in the background, in milliseconds; `usable` says whether there is a set meanwhile. */
  pause(usable: boolean): number {
    const peace = this.#busyUntil - performance.now();
    return Math.max(this.#ownPause(usable), usable ? peace : Math.min(peace, LONGEST_OUTAGE_MS));
  }

  #ownPause(usable: boolean): number {
    const { refresh, unknown, retry } = this.#pace;
    if (this.#failures === 0) return refresh;
    const doubled = 2 ** (this.#failures - 1);
    if (!usable) return Math.min(retry * doubled, LONGEST_RETRY_MS);
    return Math.min(Math.max(unknown, retry) * doubled, refresh);
  }
}

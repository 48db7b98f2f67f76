/** Since when places are not asked for, so that limits go by `away.limits`, and how often that has begun. */

interface LimitsAwayParts {
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly changed: () => void;
}

/** Begins away: the store has never answered. */
export class LimitsAway {
  /** Undefined: all instances are counted. */
  since: number | undefined;
  /** Counts what has begun after an answer, and a first question in vain. */
  times = 0;
  readonly #parts: LimitsAwayParts;
  #isCounted = false;
  #isOver = false;

  constructor(parts: LimitsAwayParts) {
    this.#parts = parts;
    this.since = parts.clock();
  }

  /** The store has not answered in time. */
  begin(): void {
    if (this.#isCounted || this.#isOver) return;
    this.#isCounted = true;
    this.times += 1;
    this.since ??= this.#parts.clock();
    this.#parts.changed();
  }

  /** It answers. */
  end(): void {
    if (this.since === undefined) return;
    this.#isCounted = false;
    this.since = undefined;
    this.#parts.changed();
  }

  /** What the store still owes is not waited for. */
  close(): void {
    this.#isOver = true;
  }
}

/** A clock of its own, with timers, for tests of decisions. */
import type { Timers } from '../../../core/workers/timers.ts';

interface Event {
  readonly at: number;
  readonly n: number;
  readonly run: () => void;
}

/** Time passes when a test says so: what comes next is first, in a binary heap. */
export class SimulatedTime implements Timers {
  readonly #events: Event[] = [];
  readonly #waiting = new Set<Event>();
  #now = 0;
  #last = 0;

  /** How much is to run later. */
  get size(): number {
    return this.#waiting.size;
  }

  readonly now = (): number => this.#now;

  readonly after = (ms: number, run: () => void): (() => void) => {
    const event = { at: this.#now + ms, n: (this.#last += 1), run };
    this.#waiting.add(event);
    this.#push(event);
    return () => void this.#waiting.delete(event);
  };

  pass(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#events[0]; next && next.at <= end; next = this.#events[0]) {
      this.#pop();
      this.#now = next.at;
      if (this.#waiting.delete(next)) next.run();
    }
    this.#now = end;
  }

  #push(event: Event): void {
    const all = this.#events;
    let at = all.push(event) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (isBefore(all[above]!, event)) break;
      all[at] = all[above]!;
      at = above;
    }
    all[at] = event;
  }

  #pop(): void {
    const all = this.#events;
    const event = all.pop();
    if (!event || all.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= all.length) break;
      if (below + 1 < all.length && isBefore(all[below + 1]!, all[below]!)) below += 1;
      if (isBefore(event, all[below]!)) break;
      all[at] = all[below]!;
      at = below;
    }
    all[at] = event;
  }
}

const isBefore = (one: Event, other: Event): boolean =>
  one.at < other.at || (one.at === other.at && one.n < other.n);

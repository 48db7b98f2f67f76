/** Time that passes only when a test says so. */
import { setImmediate as tick } from 'node:timers/promises';
import type { Timers } from '../../core/workers/timers.ts';

interface Timer {
  readonly at: number;
  readonly n: number;
  readonly run: () => void;
}

/** What is due runs in order, and all that follows from it before time goes on. */
export class VirtualTime implements Timers {
  #now = 0;
  #made = 0;
  #timers: Timer[] = [];

  readonly now = (): number => this.#now;

  readonly after = (ms: number, run: () => void): (() => void) => {
    this.#made += 1;
    const timer = { at: this.#now + Math.max(0, ms), n: this.#made, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  };

  /** Lets so many milliseconds pass. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await tick();
      const next = this.#next();
      if (!next || next.at > end) break;
      this.#now = next.at;
      this.#timers = this.#timers.filter((one) => one !== next);
      next.run();
    }
    this.#now = end;
  }

  /** Lets time pass until it is settled, 60 s at most, and returns its value. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    const state = { settled: false };
    const watched = promise.finally(() => {
      state.settled = true;
    });
    watched.catch(() => undefined);
    const end = this.#now + 60_000;
    while (!state.settled && this.#now < end) await this.pass(1);
    return watched;
  }

  #next(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers)
      if (!first || timer.at < first.at || (timer.at === first.at && timer.n < first.n)) first = timer;
    return first;
  }
}

/** The time of a pool: tests replace it. */

import { performance } from 'node:perf_hooks';

/** Tells the time and calls back regularly. */
export interface Clock {
  /** Milliseconds since an arbitrary time; monotonic. */
  now(): number;
  /** Calls `run` every `ms` milliseconds until what is returned is called. */
  every(ms: number, run: () => void): () => void;
}

/** The machine's monotonic clock; its timers do not keep the process alive. */
export const machineClock: Clock = {
  now: () => performance.now(),
  every(ms, run) {
    const timer = setInterval(run, ms).unref();
    return () => clearInterval(timer);
  },
};

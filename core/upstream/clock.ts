/** The time of a pool: tests replace it. */

import { performance } from 'node:perf_hooks';

/** Tells the time and calls back regularly. */
export interface Clock {
  /** Milliseconds since an arbitrary time; monotonic. */
  now(): number;
  /** Calls `run` every `ms` milliseconds until the returned function is called. */
  every(ms: number, run: () => void): () => void;
}

let last = 0;
/** Between two times in milliseconds, so that no two are the same. */
const STEP = 2 ** -10;

/** The time of the {@link machineClock}, which is never given twice. */
export const monotonicTime = (): number => (last = Math.max(machineClock.now(), last + STEP));

/** The machine's monotonic clock; its timers do not keep the process alive. */
export const machineClock: Clock = {
  now: () => performance.now(),
  every(ms, run) {
    const timer = setInterval(run, ms).unref();
    return () => clearInterval(timer);
  },
};

/** The time, and what runs later: tests replace it. */

/** By one clock. */
export interface Timers {
  /** Milliseconds; monotonic. */
  readonly now: () => number;
  /** Runs it once in so many milliseconds, unless what it returns is called before. */
  readonly after: (ms: number, run: () => void) => () => void;
}

/** Those of the machine; they do not keep the process alive. */
export const machineTimers: Timers = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** Times of a session: taken by the monotonic clock, which has fractions and does not step with the calendar's, and shown as a date where somebody asks. */
// Each use of the global `performance` runs a getter of Node's.
import { performance } from 'node:perf_hooks';

/** Milliseconds since an arbitrary time; monotonic. */
export const monotonicNow = (): number => performance.now();

/** A time of {@link monotonicNow} in whole milliseconds since the epoch: never before `Date.now()` was told then, and never in the future. */
export const epochTime = (at: number): number => Math.ceil(Date.now() - (monotonicNow() - at));

/** Times of a session: taken by the monotonic clock, which costs a fifth of the other one, and shown as a date where somebody asks. */

/** A time of the monotonic clock (`performance.now()`) in milliseconds since the epoch; whole ones. */
export const epochTime = (at: number): number => Math.round(Date.now() - (performance.now() - at));

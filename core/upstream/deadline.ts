/** Limits of time: work that ends at its deadline or when its caller gives up, with no timer left behind. */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/** How often a deadline that may be moved is checked, in milliseconds. */
const POLL_MS = 10;

/**
 * Runs `work` with a signal that is aborted when `signal` is, or after `ms` milliseconds with the error `late` makes.
 * `work` must end when its signal is aborted; an error that it throws after that is replaced by the reason of the abort.
 */
export async function within<T>(
  ms: number,
  signal: AbortSignal,
  late: () => Error,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const inner = new AbortController();
  const timer = setTimeout(() => inner.abort(late()), ms);
  const relay = (): void => inner.abort(signal.reason);
  signal.addEventListener('abort', relay);
  try {
    return await work(inner.signal);
  } catch (error) {
    throw inner.signal.aborted ? inner.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', relay);
  }
}

/** Waits for a promise that does not use the signal; rejects with the signal's reason when that comes first. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = (): void => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason as Error);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/**
 * Waits for work that never rejects, until a moment by `performance.now()` that may be moved meanwhile. Resolves with whether
 * the work is over; else it goes on.
 */
export async function overBy(work: Promise<unknown>, until: () => number): Promise<boolean> {
  const done = work.then(() => true);
  let over = await Promise.race([done, nextTurn(false)]);
  for (let left = until() - performance.now(); !over && left > 0; left = until() - performance.now())
    over = await (left === Infinity ? done : Promise.race([done, sleep(Math.min(left, POLL_MS), false)]));
  return over;
}

/** Runs a function that may or may not be asynchronous, and tells a callback how it ended. */
import type { MaybePromise } from '../contract/session.ts';

/** Called once: with an error, which is never falsy, or with null and the result. */
export type Tell<R> = (error: Error | null, result?: R) => void;

/** A check by `if (error)` must not take `throw undefined` for success. */
function thrown(error: unknown): Error {
  return (error || new Error(`thrown: ${String(error)}`)) as Error;
}

/** Says whether a value is a promise, of whatever make. */
export function isPromise<R>(value: R | Promise<R>): value is Promise<R> {
  return typeof (value as { readonly then?: unknown } | null | undefined)?.then === 'function';
}

/** Gives `work` the value: at once if it is there. */
export function after<T, R>(value: MaybePromise<T>, work: (value: T) => MaybePromise<R>): MaybePromise<R> {
  // A query builder and its like have a `then` of another make.
  return isPromise(value) ? Promise.resolve(value).then(work) : work(value);
}

/** Calls `tell` synchronously if `run` is synchronous, and outside of every `try`: what it throws is its own. */
export function settle<R>(run: () => MaybePromise<R>, tell: Tell<R>): void {
  let result: MaybePromise<R>;
  try {
    result = run();
  } catch (error) {
    tell(thrown(error));
    return;
  }
  if (!isPromise(result)) tell(null, result);
  else
    result.then(
      (value) => tell(null, value),
      (error: unknown) => tell(thrown(error)),
    );
}

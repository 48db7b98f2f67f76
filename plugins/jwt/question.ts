/** One question to a source of keys: bounded in time, and given up when nobody wants the answer any more. */
import type { KeySource } from './key-source.ts';

/** How long one may take, in milliseconds. */
const LOAD_MS = 5_000;

/** Asks the source. @throws what it throws; Error after `mostMs`; the signal's reason when that aborts */
export async function ask(source: KeySource, signal: AbortSignal): Promise<unknown> {
  const limit = new AbortController();
  const stop = () => {
    limit.abort(signal.reason);
  };
  signal.addEventListener('abort', stop);
  const { mostMs = LOAD_MS } = source;
  const timer = setTimeout(() => {
    limit.abort(new Error(`no answer within ${mostMs / 1_000} s`));
  }, mostMs);
  try {
    return await abortable(source.load(limit.signal), limit.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

/** Why it failed, in a few words. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'failed';
  // Connecting to several addresses fails with an error that has a code and no message.
  return error.message || ('code' in error && String(error.code)) || error.name;
}

/** Rejects when the signal aborts, for work that does not listen to it. */
function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
    work.then(resolve, reject);
  });
}

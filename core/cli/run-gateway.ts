/** Runs a gateway until the process is told to end: first politely, then at once. */
import type { Gateway } from '../gateway.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
/** npm passes on a Ctrl-C that the terminal has sent to us as well: so soon it is the same one, in milliseconds. */
const SAME_MS = 300;

/**
 * Resolves at the first SIGINT or SIGTERM that comes `after` milliseconds or later, default 0; earlier ones are swallowed.
 * @param until stops listening when aborted; the promise then stays pending
 */
export async function nextSignal(until: AbortSignal, after = 0): Promise<void> {
  const since = performance.now();
  return new Promise((resolve) => {
    const forget = (): void => {
      for (const signal of SIGNALS) process.off(signal, heard);
    };
    const heard = (): void => {
      if (performance.now() - since < after) return;
      forget();
      resolve();
    };
    for (const signal of SIGNALS) process.on(signal, heard);
    until.addEventListener('abort', forget);
  });
}

/** Call it at the first signal: drains, unless a second signal says to stop at once. Resolves when the gateway is done. */
export async function drainOrStop(gateway: Pick<Gateway, 'drain' | 'stop'>): Promise<void> {
  const done = new AbortController();
  const hurried = nextSignal(done.signal, SAME_MS).then(() => gateway.stop());
  try {
    await Promise.race([gateway.drain(), hurried]);
  } finally {
    done.abort();
  }
}

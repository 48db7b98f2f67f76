/** Runs a gateway until the process is told to end: first politely, then at once. */
import type { Gateway } from '../gateway.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
/** npm passes on a Ctrl-C that the terminal has sent to us as well: so soon it is the same one, in milliseconds. */
const SAME_MS = 300;

/** Resolves at the first signal that comes `after` milliseconds or later; earlier ones are swallowed. */
async function nextSignal(after: number, until: AbortSignal): Promise<void> {
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

/**
 * Resolves when SIGINT or SIGTERM came and the gateway is done: drained after the first signal, stopped after a second.
 * @param before called at the first signal
 */
export async function untilSignalled(
  gateway: Pick<Gateway, 'drain' | 'stop'>,
  before: () => void = () => undefined,
): Promise<void> {
  const done = new AbortController();
  await nextSignal(0, done.signal);
  before();
  const hurried = nextSignal(SAME_MS, done.signal).then(() => gateway.stop());
  try {
    await Promise.race([gateway.drain(), hurried]);
  } finally {
    done.abort();
  }
}

/** Runs a gateway until the process is told to end: first politely, then at once. */

const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM'];
/** npm passes on a Ctrl-C that the terminal has sent to us as well: so soon it is the same one, in milliseconds. */
const SAME_MS = 300;
/** Who says it twice waits for nothing but this, in milliseconds. */
const HURRY_MS = 1_000;

/** A gateway, or the parent of its workers. */
interface Stoppable {
  drain(): Promise<void>;
  stop(withinMs: number): Promise<void>;
}

/** What {@link nextSignal} waits for. */
export interface SignalOptions {
  /** Signals that come sooner are swallowed, in milliseconds. Default 0. */
  readonly after?: number;
  /** Default SIGINT and SIGTERM. */
  readonly signals?: readonly NodeJS.Signals[];
  /** Stops listening when aborted; the promise then stays pending. Default: never. */
  readonly until?: AbortSignal;
}

/** Resolves at the first signal that tells the process to end. */
export async function nextSignal({ after = 0, signals = SIGNALS, until }: SignalOptions = {}): Promise<void> {
  const since = performance.now();
  return new Promise((resolve) => {
    const forget = (): void => {
      for (const signal of signals) process.off(signal, heard);
    };
    const heard = (): void => {
      if (performance.now() - since < after) return;
      forget();
      resolve();
    };
    for (const signal of signals) process.on(signal, heard);
    until?.addEventListener('abort', forget);
  });
}

/** Call it at the first signal: drains, unless a second signal says to stop at once. Resolves when the gateway is done. */
export async function drainOrStop(gateway: Stoppable): Promise<void> {
  const done = new AbortController();
  const hurried = nextSignal({ after: SAME_MS, until: done.signal }).then(() => gateway.stop(HURRY_MS));
  // Without a listener the third one, which may be the second passed on, would kill the process.
  const heard = (): void => {};
  for (const signal of SIGNALS) process.on(signal, heard);
  try {
    await Promise.race([gateway.drain(), hurried]);
  } finally {
    done.abort();
    for (const signal of SIGNALS) process.off(signal, heard);
  }
}

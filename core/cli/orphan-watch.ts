/** Sees to it that a worker whose event loop hangs does not outlive its parent: it could not notice, and would keep the address. */
import { Worker } from 'node:worker_threads';

/** What the thread is given. */
export interface Watched {
  /** Counts the turns of the event loop, at its first place. */
  readonly turns: Int32Array;
  /** The process whose end is noticed. */
  readonly parent: number;
}

/** One per worker. */
export class OrphanWatch {
  readonly #turns = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  // From here on: later it may be another's.
  readonly #parent = process.ppid;

  /** The event loop turns. To be called several times a second. */
  turned(): void {
    Atomics.add(this.#turns, 0, 1);
  }

  /** Begins the thread, which does not keep the process alive. `failed`: there is none. */
  start(failed: (error: Error) => void): void {
    const workerData: Watched = { turns: this.#turns, parent: this.#parent };
    try {
      const thread = new Worker(new URL('orphan-thread.js', import.meta.url), { workerData });
      thread.on('error', failed);
      thread.unref();
    } catch (error) {
      // Where the process may have no more threads: it can serve without this one.
      failed(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

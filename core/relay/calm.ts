/** The wait of one message for answers that are still owed, because what to do with it depends on them. */
import type { Ledger } from './ledger.ts';

/** A wait: whether it has to go on, and what ends it. */
interface Wait {
  readonly goesOn: () => boolean;
  readonly end: () => void;
  flushed: boolean;
}

/** One per session. */
export class Calm {
  readonly #ledger: Ledger;
  readonly #flush: () => void;
  #wait: Wait | undefined;

  /** `flush` has the server answer what it owes without more ado. */
  constructor(ledger: Ledger, flush: () => void) {
    this.#ledger = ledger;
    this.#flush = flush;
  }

  /** Resolves when `goesOn` has become false; it is asked whenever the server has answered something. */
  wait(goesOn: () => boolean): Promise<void> {
    // Behind what the walk has still to forward.
    queueMicrotask(() => this.settled());
    return new Promise((resolve) => (this.#wait = { goesOn, end: resolve, flushed: false }));
  }

  /** The server may have answered something. */
  settled(): void {
    const wait = this.#wait;
    if (!wait) return;
    if (!wait.goesOn()) {
      this.#wait = undefined;
      wait.end();
    } else if (!wait.flushed && !this.#ledger.endsReady) {
      // Answers to a batch without its Sync would stay in the server's buffer.
      wait.flushed = true;
      this.#flush();
    }
  }
}

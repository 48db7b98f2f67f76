/** The wait of one message until the server has answered all that was sent before it: what to do depends on an answer. */
import type { Ledger } from './ledger.ts';

/** One per session. */
export class Calm {
  readonly #ledger: Ledger;
  readonly #flush: () => void;
  #over: (() => void) | undefined;

  /** `flush` has the server answer what it owes without more ado. */
  constructor(ledger: Ledger, flush: () => void) {
    this.#ledger = ledger;
    this.#flush = flush;
  }

  /** Resolves when nothing is owed, or nothing will come before the client says more. */
  wait(): Promise<void> {
    // Behind what the walk has still to forward.
    queueMicrotask(this.#flush);
    return new Promise((resolve) => (this.#over = resolve));
  }

  /** The server may have answered something. */
  settled(): void {
    if (!this.#over || !(this.#ledger.answered || this.#ledger.stuck || this.#ledger.skipping)) return;
    this.#over();
    this.#over = undefined;
  }
}

/** The wait of one message for answers that are still owed, because what to do with it depends on them. */
import type { Ledger } from './ledger.ts';

/** Says whether what to do with a message depends on answers that are still owed. */
export interface Dependent {
  mustWait(type: number, frame: Buffer): boolean;
}

/** What a calm works with. */
export interface CalmOptions {
  readonly ledger: Ledger;
  /** Has the server answer what it owes without more ado. */
  readonly flush: () => void;
  readonly dependents: readonly Dependent[];
}

/** A wait: the message, and what ends it. */
interface Wait {
  readonly type: number;
  readonly frame: Buffer;
  readonly end: () => void;
  flushed: boolean;
}

/** One per session. */
export class Calm {
  readonly #options: CalmOptions;
  #wait: Wait | undefined;

  constructor(options: CalmOptions) {
    this.#options = options;
  }

  /** A message has to {@link wait}. */
  isNeeded(type: number, frame: Buffer): boolean {
    for (const one of this.#options.dependents) if (one.mustWait(type, frame)) return true;
    return false;
  }

  /** Resolves when it is not needed any more; that is asked whenever the server has answered something. */
  wait(type: number, frame: Buffer): Promise<void> {
    // Behind what the walk has still to forward.
    queueMicrotask(() => this.settled());
    return new Promise((end) => (this.#wait = { type, frame, end, flushed: false }));
  }

  /** The server may have answered something. */
  settled(): void {
    const wait = this.#wait;
    if (!wait) return;
    if (!this.isNeeded(wait.type, wait.frame)) {
      this.#wait = undefined;
      wait.end();
    } else if (!wait.flushed && !this.#options.ledger.endsReady) {
      // Answers to a batch without its Sync would stay in the server's buffer.
      wait.flushed = true;
      this.#options.flush();
    }
  }
}

/** Holds one message back until the answers have arrived that decide about it. */
import type { OutstandingRequests } from '../requests/outstanding-requests.ts';

/** Says whether the decision about a message depends on answers that are outstanding. */
export interface Dependent {
  mustWait(type: number, frame: Buffer): boolean;
}

/** What the wait needs. */
export interface ResponseBarrierHost {
  readonly outstanding: Pick<OutstandingRequests, 'endsReady'>;
  /** Makes the server send its buffered answers at once. */
  flush(): void;
}

/** The message that waits, and the callback that ends its wait. */
interface Wait {
  readonly type: number;
  readonly frame: Buffer;
  readonly end: () => void;
  flushed: boolean;
}

/** One per session. */
export class ResponseBarrier {
  readonly #host: ResponseBarrierHost;
  readonly #one: Dependent | undefined;
  readonly #other: Dependent | undefined;
  #wait: Wait | undefined;

  constructor(host: ResponseBarrierHost, one: Dependent | undefined, other: Dependent | undefined) {
    this.#host = host;
    this.#one = one;
    this.#other = other;
  }

  /** A message has to {@link wait}. */
  isNeeded(type: number, frame: Buffer): boolean {
    return this.#one?.mustWait(type, frame) === true || this.#other?.mustWait(type, frame) === true;
  }

  /** Resolves when the wait is not needed any more; every answer of the server asks that again. */
  wait(type: number, frame: Buffer): Promise<void> {
    // After the bytes that the current chunk still forwards.
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
    } else if (!wait.flushed && !this.#host.outstanding.endsReady) {
      // Answers to a batch without its Sync would stay in the server's buffer.
      wait.flushed = true;
      this.#host.flush();
    }
  }
}

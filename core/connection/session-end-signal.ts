/** Reports the end of a session to what waits for it inside the gateway: as an AbortSignal, at the cost of one small object. */
import type { EndSignal } from '../upstream/pool/checkout-request.ts';

/** One per session. */
export class SessionEndSignal implements EndSignal {
  #reason: unknown;
  #aborted = false;
  #listeners: (() => void)[] | undefined;

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }

  addEventListener(_event: 'abort', listener: () => void): void {
    (this.#listeners ??= []).push(listener);
  }

  removeEventListener(_event: 'abort', listener: () => void): void {
    this.#listeners = this.#listeners?.filter((one) => one !== listener);
  }

  /** The session is over: each listener is called once, before this returns. Only the first call counts. */
  abort(reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    const listeners = this.#listeners;
    this.#listeners = undefined;
    for (const listener of listeners ?? []) listener();
  }
}

/** The wait for a hook, which ends early if the client cancels. */
import { GatewayError } from '../errors.ts';

/** One per session, for one hook at a time. */
export class Patience {
  #giveUp: ((error: GatewayError) => void) | undefined;

  /** Settles as `work` does, or rejects at {@link cancel}. @throws GatewayError `query_canceled` */
  async with<T>(work: Promise<T>): Promise<T> {
    try {
      return await Promise.race([
        work,
        new Promise<never>((_, reject) => {
          this.#giveUp = reject;
        }),
      ]);
    } finally {
      this.#giveUp = undefined;
    }
  }

  /** Ends the wait; true if there was one. */
  cancel(): boolean {
    const giveUp = this.#giveUp;
    giveUp?.(new GatewayError('query_canceled', 'canceling statement due to user request'));
    return giveUp !== undefined;
  }
}

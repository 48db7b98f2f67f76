/** Ends of very many sessions: a tenth of a millisecond each, so that all at once would keep everybody else waiting. */
import type { GatewayError, GatewayHandle, Session } from '../../core/index.ts';

/** How long ends may take in one turn of the event loop, in milliseconds. */
const TURN_MS = 10;

/** What is asked of a session here. */
export type EndedSession = Pick<Session, 'end'>;

/** One per worker; outlives reloads. */
export class SessionEnds {
  readonly #waiting: (readonly [session: EndedSession, error: GatewayError])[] = [];
  /** How many of those have ended. */
  #done = 0;
  #isScheduled = false;

  /** Ends them in their order: at once, or those for which there is no time in this turn in the next ones. */
  end(sessions: Iterable<EndedSession>, error: GatewayError): void {
    for (const session of sessions) this.#waiting.push([session, error]);
    if (!this.#isScheduled && this.#waiting.length > 0) this.#endSome();
  }

  #endSome(): void {
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (this.#waiting.length > 0) this.#endSome();
    });
    const until = performance.now() + TURN_MS;
    do {
      const [session, error] = this.#waiting[this.#done] ?? [];
      this.#done += 1;
      if (error) session?.end(error);
    } while (this.#done < this.#waiting.length && performance.now() < until);
    if (this.#done < this.#waiting.length) return;
    this.#waiting.length = 0;
    this.#done = 0;
  }
}

/** Those of this worker. */
export const sessionEnds = (gateway: Pick<GatewayHandle, 'keep'>): SessionEnds =>
  gateway.keep('session ends', () => new SessionEnds());

/** How many fresh tokens a session may have refused: who tries one after the other is refused without a look. */
import { GatewayError } from '../../core/index.ts';

/** Refused at once. */
const MOST = 5;
/** One is forgotten after so many milliseconds. */
const FORGET_MS = 60_000;

/** What a session has had refused: so many as of then, fewer later. */
interface Refused {
  readonly count: number;
  /** By the monotonic clock. */
  readonly at: number;
}

/** One per config. */
export class Attempts {
  readonly #refused = new WeakMap<object, Refused>();

  /** Before a token is looked at. A good one takes nothing back, since the same may come again and again. @throws GatewayError */
  admit(session: object): void {
    const count = this.#count(session);
    if (count + 1 <= MOST) return;
    const seconds = Math.ceil(((count + 1 - MOST) * FORGET_MS) / 1_000);
    throw new GatewayError('configuration_limit_exceeded', 'too many tokens were refused in this session', {
      hint: `Try again in ${seconds} s, or connect again. The session goes on with the token it has.`,
    });
  }

  /** One was refused. An outage is nobody's guess and does not count. */
  refused(session: object, error: unknown): void {
    if (error instanceof GatewayError && error.code === 'cannot_connect_now') return;
    this.#refused.set(session, { count: this.#count(session) + 1, at: performance.now() });
  }

  #count(session: object): number {
    const { count, at } = this.#refused.get(session) ?? { count: 0, at: 0 };
    return Math.max(0, count - (performance.now() - at) / FORGET_MS);
  }
}

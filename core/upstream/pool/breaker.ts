/** Stops logging in as a role that the server refuses: one try at a time, and long pauses in between. */
import type { Logger } from '../../session.ts';
import { identityRefused, innermost, loginRefused } from '../refusals.ts';
import type { Clock } from './clock.ts';

/** How long nothing is tried after a refusal, in milliseconds. */
export const PAUSE_MS = 30_000;

/** What a breaker knows besides the roles. */
export interface BreakerParts {
  /** The key of `databases`, for the operator. */
  readonly entry: string;
  readonly clock: Clock;
  readonly log?: Pick<Logger, 'error' | 'info'> | undefined;
}

interface Refused {
  /** By the clock. */
  nextTry: number;
  trying: boolean;
}

/** One per pool. */
export class Breaker {
  readonly #parts: BreakerParts;
  readonly #refused = new Map<string, Refused>();

  constructor(parts: BreakerParts) {
    this.#parts = parts;
  }

  /** Some role has to pause. */
  get open(): boolean {
    const now = this.#parts.clock.now();
    return [...this.#refused.values()].some(({ nextTry }) => now < nextTry);
  }

  /** Why no connection may be opened for a role now; undefined: it may, and then say how it ended. */
  refusal(role: string): Error | undefined {
    const refused = this.#refused.get(role);
    if (!refused || (!refused.trying && this.#parts.clock.now() >= refused.nextTry)) return undefined;
    return loginRefused(new Error(`the server refused the login of role "${role}" a moment ago`));
  }

  /** A login of the role begins. */
  began(role: string): void {
    const refused = this.#refused.get(role);
    if (refused) refused.trying = true;
  }

  succeeded(role: string): void {
    if (!this.#refused.delete(role)) return;
    const { entry, log } = this.#parts;
    log?.info({ entry, role }, 'the server accepts the login again');
  }

  /** A login ended with `error`: one that says nothing of the role's login opens nothing, and permits another try at once. */
  failed(role: string, error: unknown): void {
    const refused = this.#refused.get(role);
    if (refused) refused.trying = false;
    if (!identityRefused(error)) return;
    const { clock, entry, log } = this.#parts;
    this.#refused.set(role, { nextTry: clock.now() + PAUSE_MS, trying: false });
    if (refused) return;
    const why = innermost(error);
    log?.error({ entry, role, why }, 'the server refuses the login: one try per 30 s until it succeeds');
  }
}

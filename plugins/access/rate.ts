/** How often one caller may ask. */
import type { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { Board } from '../../core/index.ts';
import type { Policy } from './policy.ts';
import { Refused } from './refused.ts';

/** What one caller has asked, for the worker that answers when this one has ended. */
export interface Asked {
  readonly requests: number;
  /** When that is forgotten, in milliseconds since the epoch. */
  readonly until: number;
}

/** One per worker and rate; outlives reloads. One worker answers at a time. */
export class RequestRate {
  readonly #rate: Policy['rate'];
  #limiter: Promise<RateLimiterMemory> | undefined;

  readonly #board: Board<Asked>;

  constructor(rate: Policy['rate'], board: Board<Asked>) {
    this.#rate = rate;
    this.#board = board;
  }

  /** Counts a request. @throws Refused 429 with the seconds until the next one */
  async take(owner: string): Promise<void> {
    this.#limiter ??= this.#make();
    try {
      const limiter = await this.#limiter;
      await this.#takeOver(limiter, owner);
      this.#tell(owner, await limiter.consume(owner));
    } catch (error) {
      if (error instanceof Error) throw error;
      const retryAfter = Math.max(1, Math.ceil((error as RateLimiterRes).msBeforeNext / 1_000));
      throw new Refused('rate', 'you ask too often', { retryAfter });
    }
  }

  /** What another worker has counted. */
  async #takeOver(limiter: RateLimiterMemory, owner: string): Promise<void> {
    const before = this.#board.get(owner);
    if (!before || (await limiter.get(owner))) return;
    await limiter.set(owner, before.requests, Math.max(1, before.until - Date.now()) / 1_000);
  }

  /** Not waited for: what is lost with this worker is at most its last request. */
  #tell(owner: string, { consumedPoints: requests, msBeforeNext }: RateLimiterRes): void {
    const until = Date.now() + msBeforeNext;
    this.#board.put(owner, { requests, until }, { until }).catch(() => {});
  }

  async #make(): Promise<RateLimiterMemory> {
    const { RateLimiterMemory: Limiter } = await import('rate-limiter-flexible');
    return new Limiter({ points: this.#rate.requests, duration: this.#rate.perMs / 1_000 });
  }
}

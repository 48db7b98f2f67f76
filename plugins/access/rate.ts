/** How often one caller may ask. */
import type { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { Policy } from './policy.ts';
import { Refused } from './refused.ts';

/** One per gateway and rate; outlives reloads. */
export class RequestRate {
  readonly #rate: Policy['rate'];
  #limiter: Promise<RateLimiterMemory> | undefined;

  constructor(rate: Policy['rate']) {
    this.#rate = rate;
  }

  /** Counts a request. @throws Refused 429 with the seconds until the next one */
  async take(owner: string): Promise<void> {
    this.#limiter ??= this.#make();
    try {
      await (await this.#limiter).consume(owner);
    } catch (error) {
      if (error instanceof Error) throw error;
      const retryAfter = Math.max(1, Math.ceil((error as RateLimiterRes).msBeforeNext / 1_000));
      throw new Refused('rate', 'you ask too often', { retryAfter });
    }
  }

  async #make(): Promise<RateLimiterMemory> {
    const { RateLimiterMemory: Limiter } = await import('rate-limiter-flexible');
    return new Limiter({ points: this.#rate.requests, duration: this.#rate.perMs / 1_000 });
  }
}

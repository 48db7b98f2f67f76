/** Token buckets in Redis, for all gateways together: one round trip each, by the clock of Redis. */
import type { Redis } from 'ioredis';
import type { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { createHash } from 'node:crypto';
import type { Logger } from '../../core/index.ts';
import { GO } from './bucket.ts';
import type { Answer, Bucket } from './bucket.ts';
import { connectRedis } from './redis.ts';
import { TAKE } from './take-script.ts';
import type { StorePolicy } from './store-policy.ts';

/** While the store is away it is asked this often, and nobody waits for it. Milliseconds. */
const ASK_AGAIN_MS = 1_000;
/** What is asked for then: one of many, since a store that cannot be written to is away as well. */
const PROBE = { key: 'probe', bucket: { size: 1_000, intervalMs: 1 } };
/** Tokens may bring many different rates; each has a small object. */
const MOST_RATES = 1_000;

/** One per store, kept over reloads. */
export class SharedBuckets {
  readonly #policy: StorePolicy;
  readonly #limiters = new Map<string, RateLimiterRedis>();
  #Limiter: typeof RateLimiterRedis | undefined;
  #client: Redis | undefined;
  #users = 0;
  #opened: Promise<void> | undefined;
  #log: Logger | undefined;
  #problem: string | undefined;
  #asking: NodeJS.Timeout | undefined;

  constructor(policy: StorePolicy) {
    this.#policy = policy;
  }

  /** Why it cannot be asked; undefined while it can. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Connects for the first user; {@link close} it once for each. @throws ConfigError without ioredis */
  async open(log: Logger): Promise<void> {
    this.#log = log;
    this.#users += 1;
    this.#opened ??= this.#connect();
    try {
      await this.#opened;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The last user closes the connection, and nothing is left of it. */
  close(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    clearInterval(this.#asking);
    this.#asking = undefined;
    this.#problem = undefined;
    this.#client?.disconnect();
    this.#client = undefined;
    this.#opened = undefined;
    this.#limiters.clear();
  }

  /** As `Buckets.take`. @throws Error if the store is away: at once where that is known, else when it has not answered in time */
  async take(key: string, bucket: Bucket, points: number, aheadMs: number): Promise<Answer> {
    if (this.#problem !== undefined) throw new Error(this.#problem);
    try {
      return await this.#ask(key, bucket, points, aheadMs);
    } catch (error) {
      this.#lost(error);
      throw error;
    }
  }

  async #ask(key: string, bucket: Bucket, points: number, aheadMs: number): Promise<Answer> {
    // Keys are of any length, and say who somebody is.
    const hash = createHash('sha256').update(key).digest('base64url');
    const how = { customDuration: 1 + Math.ceil(aheadMs) };
    try {
      const { msBeforeNext: ms } = await this.#limiterFor(bucket).consume(hash, points, how);
      return ms > 0 ? { kind: 'wait', ms } : GO;
    } catch (thrown) {
      if (thrown instanceof Error) throw thrown;
      // The library rejects with a refusal, which is no error.
      return { kind: 'no', ms: (thrown as RateLimiterRes).msBeforeNext };
    }
  }

  async #connect(): Promise<void> {
    ({ RateLimiterRedis: this.#Limiter } = await import('rate-limiter-flexible'));
    const client = await connectRedis(this.#policy, (error) => this.#lost(error));
    if (this.#users === 0) client.disconnect();
    else this.#client = client;
    if (client.status !== 'ready') this.#lost(new Error('no connection'));
  }

  #limiterFor({ intervalMs, size }: Bucket): RateLimiterRedis {
    if (!this.#client || !this.#Limiter) throw new Error('the store is not open');
    const rate = `${size} ${intervalMs}`;
    const known = this.#limiters.get(rate);
    if (known) return known;
    if (this.#limiters.size >= MOST_RATES) this.#limiters.clear();
    const limiter = new this.#Limiter({
      storeClient: this.#client,
      points: size,
      duration: intervalMs / 1_000,
      keyPrefix: this.#policy.prefix,
      customIncrTtlLuaScript: TAKE,
      rejectIfRedisNotReady: true,
    });
    this.#limiters.set(rate, limiter);
    return limiter;
  }

  #lost(error: unknown): void {
    const reason = error instanceof Error ? error.message : 'failed';
    if (this.#problem === undefined && this.#users > 0) {
      this.#log?.warn({ reason }, 'the store of rate limits is away');
      this.#asking ??= setInterval(() => void this.#askAgain(), ASK_AGAIN_MS).unref();
    }
    this.#problem = reason;
  }

  async #askAgain(): Promise<void> {
    try {
      await this.#ask(PROBE.key, PROBE.bucket, 1, 0);
    } catch {
      return;
    }
    if (this.#asking === undefined) return;
    clearInterval(this.#asking);
    this.#asking = undefined;
    this.#problem = undefined;
    this.#log?.info({}, 'the store of rate limits is back');
  }
}

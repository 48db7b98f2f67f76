/** Token buckets in Redis, for all gateways together: one round trip each, by the clock of Redis. */
import type { Redis } from 'ioredis';
import type { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { createHash } from 'node:crypto';
import type { Logger, Secret } from '../../core/index.ts';
import { ANYHOW_MS, GO } from './bucket.ts';
import type { Answer, Bucket } from './bucket.ts';
import { Patience } from './patience.ts';
import { connectRedis } from './redis.ts';
import { TAKE } from './take-script.ts';
import type { StorePolicy } from './store-policy.ts';

/** While the store is away it is asked this often, and as soon as it is connected; nobody waits for it. Milliseconds. */
const ASK_AGAIN_MS = 1_000;
/** What is asked for then: one of many, since a store that cannot be written to is away as well. */
const PROBE = { key: 'probe', bucket: { size: 1_000, intervalMs: 1 } };
/** Tokens may bring many different rates; each has a small object. */
const MOST_RATES = 1_000;

const sha256 = (key: string): string => createHash('sha256').update(key).digest('base64url');

/** A config that uses a store. */
export interface StoreUser {
  readonly log: Logger;
  /** As text the same for all users of one store; a function may be another after a reload. */
  readonly password: Secret | undefined;
}

/** One per store, kept over reloads. */
export class SharedBuckets {
  readonly #policy: StorePolicy;
  readonly #failOpen: boolean;
  readonly #hash: (key: string) => string;
  readonly #patience: Patience;
  /** Gives up what waits for an answer. */
  readonly #waiting = new Set<(error: Error) => void>();
  readonly #limiters = new Map<string, RateLimiterRedis>();
  #Limiter: typeof RateLimiterRedis | undefined;
  #client: Redis | undefined;
  /** The newest one last: it tells the password, and what is to be told is for its log. */
  readonly #users = new Set<StoreUser>();
  #opened: Promise<void> | undefined;
  #problem: string | undefined;
  #asking: NodeJS.Timeout | undefined;
  #probing = false;

  /**
   * `failOpen`: whoever asks can go on without an answer, so that a late one is as bad as none. `hash` of keys, as they are of any length, and say who somebody is; default
   * SHA-256, by which whoever reads the store can tell what they guess.
   */
  constructor(policy: StorePolicy, failOpen: boolean, hash: (key: string) => string = sha256) {
    this.#hash = hash;
    this.#policy = policy;
    this.#failOpen = failOpen;
    const { timeoutMs } = policy;
    this.#patience = new Patience({ timeoutMs, learns: !failOpen, silent: (ms) => this.#silent(ms) });
  }

  /** Why it cannot be asked; undefined while it can. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Connects for the first user; {@link close} it once for each. @throws ConfigError without ioredis */
  async open(user: StoreUser): Promise<void> {
    this.#users.add(user);
    this.#opened ??= this.#connect();
    try {
      await this.#opened;
    } catch (error) {
      this.close(user);
      throw error;
    }
  }

  /** The last user closes the connection, and nothing is left of it. */
  close(user: StoreUser): void {
    this.#users.delete(user);
    if (this.#users.size > 0) return;
    clearInterval(this.#asking);
    this.#asking = undefined;
    this.#problem = undefined;
    this.#client?.disconnect();
    this.#client = undefined;
    this.#opened = undefined;
    this.#limiters.clear();
  }

  /**
   * As `Buckets.take`. `refunds`: what is taken too late is given back.
   * @throws Error if the store is away: at once where that is known, else when its connection has been silent too long
   */
  take(key: string, bucket: Bucket, points: number, aheadMs: number, refunds: boolean): Promise<Answer> {
    if (this.#problem !== undefined) return Promise.reject(new Error(this.#problem));
    const asked = this.#ask(key, bucket, points, aheadMs);
    return new Promise((resolve, reject) => {
      const giveUp = (error: Error): void => {
        reject(error);
        if (refunds && !this.#failOpen) this.#refund(asked, key, bucket, points);
      };
      this.#waiting.add(giveUp);
      void asked.then(resolve, reject).finally(() => this.#waiting.delete(giveUp));
    });
  }

  #refund(asked: Promise<Answer>, key: string, bucket: Bucket, points: number): void {
    const giveBack = (answer: Answer): unknown =>
      answer.kind === 'no' || points <= 0 ? undefined : this.#ask(key, bucket, -points, ANYHOW_MS);
    asked.then(giveBack).catch(() => {});
  }

  /** Hears what the answer says of the store. */
  async #ask(key: string, bucket: Bucket, points: number, aheadMs: number): Promise<Answer> {
    const heard = this.#patience.ask();
    try {
      const answer = await this.#answer(key, bucket, points, aheadMs);
      const ms = heard(true);
      if (this.#failOpen && ms > this.#policy.timeoutMs)
        this.#lost(new Error(`an answer took ${Math.ceil(ms)} ms`));
      else this.#back();
      return answer;
    } catch (error) {
      heard(false);
      this.#lost(error);
      throw error;
    }
  }

  async #answer(key: string, bucket: Bucket, points: number, aheadMs: number): Promise<Answer> {
    const hash = this.#hash(key);
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

  get #newest(): StoreUser | undefined {
    return [...this.#users].at(-1);
  }

  async #connect(): Promise<void> {
    ({ RateLimiterRedis: this.#Limiter } = await import('rate-limiter-flexible'));
    const { password } = this.#policy;
    const policy = {
      ...this.#policy,
      ...(typeof password === 'function' && { password: () => this.#password() }),
    };
    const client = await connectRedis(policy, {
      lost: (error) => this.#lost(error),
      ready: () => void this.#probe(),
    });
    if (this.#users.size === 0) client.disconnect();
    else this.#client = client;
    if (client.status !== 'ready') this.#lost(new Error('no connection'));
  }

  /** Of the config in force, for each new connection. */
  async #password(): Promise<string> {
    const { password = '' } = this.#newest ?? this.#policy;
    return typeof password === 'function' ? password() : password;
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
    if (this.#problem === undefined && this.#users.size > 0) {
      this.#newest?.log.warn({ reason }, 'the store of rate limits is away');
      this.#asking ??= setInterval(() => void this.#probe(), ASK_AGAIN_MS).unref();
    }
    this.#problem = reason;
  }

  /** The connection is there and says nothing. */
  #silent(ms: number): void {
    const error = new Error(`no answer within ${Math.round(ms)} ms`);
    this.#lost(error);
    for (const giveUp of this.#waiting) giveUp(error);
  }

  #back(): void {
    if (this.#problem === undefined) return;
    clearInterval(this.#asking);
    this.#asking = undefined;
    this.#problem = undefined;
    this.#newest?.log.info({}, 'the store of rate limits is back');
  }

  /** While it is away: one question at a time, whose answer says that it is back. */
  async #probe(): Promise<void> {
    if (this.#problem === undefined || this.#probing) return;
    this.#probing = true;
    await this.#ask(PROBE.key, PROBE.bucket, 1, 0).catch(() => {});
    this.#probing = false;
  }
}

/** One limit in force: counts in the store that gateways share, or in memory where there is none or it is away. */
import type { MaybePromise } from '../../core/index.ts';
import { ANYHOW_MS, GO } from './bucket.ts';
import type { Answer, Bucket } from './bucket.ts';
import type { Counts } from './counts.ts';
import type { LimitPolicy } from './policy.ts';
import { notCounted, overLimit } from './refusal.ts';
import type { SharedBuckets } from './shared-buckets.ts';

/** Where a limit counts. */
export interface Counting {
  /** Those of this gateway. */
  readonly buckets: Counts;
  /** Absent: each gateway counts for itself. */
  readonly shared?: SharedBuckets | undefined;
  readonly failOpen: boolean;
}

/** Made once per config; a token's own limit once per session. */
export class Limiter {
  readonly policy: LimitPolicy;
  readonly #counting: Counting;

  constructor(policy: LimitPolicy, counting: Counting) {
    this.policy = policy;
    this.#counting = counting;
  }

  /** Takes one, or so many. Synchronous in memory. @throws GatewayError if it cannot be told and `failOpen` is false */
  take(key: string, points = 1): MaybePromise<Answer> {
    return this.#take(this.policy.bucket, key, points, this.policy.maxDelayMs, true);
  }

  /** Counts what has happened already, or gives it back where `points` is negative. Never throws or rejects. */
  charge(key: string, points: number): void {
    const { bucket } = this.policy;
    // More than a bucket can owe: what it can is taken, or whoever takes most would pay nothing.
    const most = (answer: Answer): MaybePromise<Answer> => {
      if (answer.kind !== 'no') return answer;
      const fit = points - Math.ceil((answer.ms - ANYHOW_MS) / bucket.intervalMs) - 1;
      return fit > 0 ? this.#take(bucket, key, fit, ANYHOW_MS) : answer;
    };
    const charged = this.#take(bucket, key, points, ANYHOW_MS);
    if (charged instanceof Promise) charged.then(most).catch(() => {});
    else void most(charged);
  }

  /** Whether the door is open and one more would find room; takes nothing. */
  async room(key: string): Promise<Answer> {
    const { blockMs } = this.policy;
    if (blockMs === 0) return this.#room(this.policy.bucket, key);
    const [room, door] = await Promise.all([
      this.#room(this.policy.bucket, key),
      this.#room({ intervalMs: blockMs, size: 1 }, doorOf(key)),
    ]);
    return door.kind === 'no' && (room.kind !== 'no' || room.ms < door.ms) ? door : room;
  }

  /** Takes one where there is room. Whoever takes the last one closes the door for `blockMs`. Never throws or rejects. */
  fail(key: string): void {
    void this.#fail(key).catch(() => {});
  }

  /** The door is a bucket of its own: when it opens, the other one has filled as if nothing had been. */
  async #fail(key: string): Promise<void> {
    const { bucket, blockMs } = this.policy;
    const taken = await this.#take(bucket, key, 1, 0);
    if (taken.kind === 'no' || blockMs === 0) return;
    const room = await this.#room(bucket, key);
    if (room.kind === 'no') await this.#take({ intervalMs: blockMs, size: 1 }, doorOf(key), 1, 0);
  }

  async #room({ intervalMs, size }: Bucket, key: string): Promise<Answer> {
    return this.#take({ intervalMs, size: size - 1 }, key, 0, 0);
  }

  /** The refusal of an answer that is a no. */
  refusal(retryMs: number): Error {
    const { what, per, text } = this.policy;
    return overLimit(what, per, text, retryMs);
  }

  #take(bucket: Bucket, key: string, points: number, aheadMs: number, refunds = false): MaybePromise<Answer> {
    const { buckets, shared, failOpen } = this.#counting;
    const own = (): MaybePromise<Answer> => buckets.take(key, bucket, points, aheadMs);
    if (!shared || !this.policy.shared) return own();
    const told = shared.take(`${this.policy.id} ${key}`, bucket, points, aheadMs, refunds);
    return told.catch((error: unknown) => {
      if (failOpen) return own();
      throw notCounted(this.policy.what, error);
    });
  }
}

/** Where it is remembered how long nobody gets in. */
const doorOf = (key: string): string => `block ${key}`;

/** A limit, and who of its many is asked for. */
export interface Meter {
  readonly limiter: Limiter;
  readonly key: string;
  /** How many to take. */
  readonly points: number;
}

/** Takes from all or from none. Waits are as long as the longest. @throws GatewayError of the one that has room last */
export function takeAll(meters: readonly Meter[]): MaybePromise<Answer> {
  const [only] = meters;
  if (!only) return GO;
  if (meters.length === 1) {
    const answer = only.limiter.take(only.key, only.points);
    return answer instanceof Promise
      ? answer.then((late) => settle(meters, [late]))
      : settle(meters, [answer]);
  }
  const answers = meters.map(({ limiter, key, points }) => limiter.take(key, points));
  return answers.some((answer) => answer instanceof Promise)
    ? settleLate(meters, answers)
    : settle(meters, answers as readonly Answer[]);
}

/** Where one cannot be told, nothing is taken from the others. */
async function settleLate(
  meters: readonly Meter[],
  answers: readonly MaybePromise<Answer>[],
): Promise<Answer> {
  const ended = await Promise.allSettled(answers.map((answer) => Promise.resolve(answer)));
  const told = ended.map((end) => (end.status === 'fulfilled' ? end.value : undefined));
  const failed = ended.find((end) => end.status === 'rejected');
  if (!failed) return settle(meters, told as readonly Answer[]);
  giveBack(meters.filter((_, at) => told[at] && told[at].kind !== 'no'));
  throw failed.reason;
}

function settle(meters: readonly Meter[], answers: readonly Answer[]): Answer {
  let worst: Answer = GO;
  let refusing: Meter | undefined;
  for (const [at, answer] of answers.entries()) {
    if (answer.kind === 'go') continue;
    const worse =
      answer.kind === worst.kind ? answer.ms > worst.ms : answer.kind === 'no' || worst.kind === 'go';
    if (worse) worst = answer;
    if (worse && answer.kind === 'no') refusing = meters[at];
  }
  if (!refusing || worst.kind !== 'no') return worst;
  giveBack(meters.filter((_, at) => answers[at]?.kind !== 'no'));
  throw refusing.limiter.refusal(worst.ms);
}

/** Takes back what {@link takeAll} took. */
export function giveBack(meters: readonly Meter[]): void {
  for (const { limiter, key, points } of meters) if (points !== 0) limiter.charge(key, -points);
}

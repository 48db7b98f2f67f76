/** The buckets of a gateway with several workers: the lead has them, and the others ask it. */
import { randomUUID } from 'node:crypto';
import type { GatewayHandle, MaybePromise } from '../../core/index.ts';
import { Buckets } from './bucket.ts';
import type { Answer, Bucket } from './bucket.ts';

/** One look at a bucket. */
export interface Look {
  /** Of the limit. */
  readonly id: string;
  readonly key: string;
  readonly bucket: Bucket;
  readonly points: number;
  readonly aheadMs: number;
  /** So many more are lent with it, where there is room. */
  readonly extra: number;
  /** Points are returned that this lead has lent: another one does not know of them. */
  readonly lender?: string;
}

/** What the lead says. */
export interface Looked {
  readonly answer: Answer;
  /** How many more it has lent. */
  readonly lent: number;
  readonly lender: string;
}

/** How long the lead may take, and for how long it is not asked then, in milliseconds. */
const [PATIENCE_MS, PAUSE_MS] = [250, 1_000];

type Handle = Pick<GatewayHandle, 'worker' | 'post' | 'alone'>;

/** One per worker, kept over reloads. A new lead begins with full buckets. */
export class LeadBuckets {
  readonly worker: GatewayHandle['worker'];
  readonly #post: Handle['post'];
  readonly #most: number;
  readonly #id = randomUUID();
  readonly #limits = new Map<string, Buckets>();
  #isLead = false;
  #askAgainAt = 0;
  #users = 0;
  #endAnswers: (() => void) | undefined;

  /** `most`: most keys of each limit to remember. */
  constructor({ worker, post }: Handle, most: number) {
    this.worker = worker;
    this.#post = post;
    this.#most = most;
  }

  /** Answers other workers; {@link close} it once for each. */
  open({ alone }: Pick<Handle, 'alone'>): void {
    this.#users += 1;
    this.#endAnswers ??= this.#post.answer('look', (look) => this.#look(look as Look));
    alone('count for all workers', () => {
      this.#isLead = true;
    });
  }

  /** The last user ends the answers. */
  close(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#endAnswers?.();
    this.#endAnswers = undefined;
  }

  /** At once in the lead. Undefined where there is no answer: for a second nobody waits for one then. Never rejects. */
  look(look: Look): MaybePromise<Looked | undefined> {
    if (this.#isLead) return this.#look({ ...look, extra: 0 });
    return performance.now() < this.#askAgainAt ? undefined : this.#ask(look);
  }

  async #ask(look: Look): Promise<Looked | undefined> {
    const [answer] = await this.#post.ask('lead', 'look', look, { withinMs: PATIENCE_MS });
    if (answer?.body === undefined) this.#askAgainAt = performance.now() + PAUSE_MS;
    return answer?.body as Looked | undefined;
  }

  #look({ id, key, bucket, points, aheadMs, extra, lender }: Look): Looked {
    const said = { lent: 0, lender: this.#id };
    if (lender !== undefined && lender !== this.#id) return { answer: { kind: 'go' }, ...said };
    const buckets = this.#bucketsOf(id);
    const answer = buckets.take(key, bucket, points, aheadMs);
    const lends = extra > 0 && answer.kind === 'go' && buckets.take(key, bucket, extra, 0).kind === 'go';
    return { answer, ...said, lent: lends ? extra : 0 };
  }

  #bucketsOf(id: string): Buckets {
    const known = this.#limits.get(id);
    if (known) return known;
    // Limits of earlier configs: whose buckets are full need not be remembered.
    for (const [other, buckets] of this.#limits) if (buckets.full) this.#limits.delete(other);
    const made = new Buckets(this.#most);
    this.#limits.set(id, made);
    return made;
  }
}

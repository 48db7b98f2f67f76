/** One limit as one of several workers counts it: what the lead lends, and a share of its own while there is no lead. */
import type { MaybePromise } from '../../core/index.ts';
import { ANYHOW_MS, GO } from './bucket.ts';
import type { Answer, Bucket, Buckets } from './bucket.ts';
import type { Counts } from './counts.ts';
import type { LeadBuckets, Looked } from './lead-buckets.ts';

/** What is lent is used for so long, in milliseconds; then the rest is returned. */
const LENT_MS = 100;
/** A worker borrows this part of its even share. */
const PART = 10;

/** What the lead has lent of one key. */
interface Loan {
  left: number;
  readonly until: number;
  readonly bucket: Bucket;
  readonly lender: string;
}

/** What a limit is counted by. */
interface WorkerBucketsParts {
  readonly lead: LeadBuckets;
  /** Of the limit. */
  readonly id: string;
  /** More than what is asked for is borrowed: for what comes often. */
  readonly borrows: boolean;
  /** Counts the share. */
  readonly own: Buckets;
}

/** One per limit and worker. All workers together stay within the limit: what may be lent is taken off the bucket's size. */
export class WorkerBuckets implements Counts {
  readonly #parts: WorkerBucketsParts;
  readonly #loans = new Map<string, Loan>();
  /** Keys that something is being borrowed for. */
  readonly #asking = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: WorkerBucketsParts) {
    this.#parts = parts;
  }

  take(key: string, bucket: Bucket, points: number, aheadMs: number): MaybePromise<Answer> {
    const { lead, id } = this.#parts;
    const loan = points < 0 ? undefined : this.#loanOf(key);
    if (loan && loan.left >= Math.max(1, points)) {
      loan.left -= points;
      return GO;
    }
    // One loan per key: what is left of the last one is returned in front of the question.
    const borrows = points >= 0 && !this.#asking.has(key);
    const extra = borrows ? this.#extra(bucket) : 0;
    if (extra > 0) this.#return(key);
    const { size } = bucket;
    const lendable = { ...bucket, size: size - this.#extra(bucket) * (lead.worker.of - 1) };
    const looked = lead.look({ id, key, bucket: lendable, points, aheadMs, extra });
    const settle = (said: Looked | undefined): Answer => {
      if (!said) return this.#alone(key, bucket, points, aheadMs);
      if (said.lent > 0) this.#lend(key, lendable, said);
      return said.answer;
    };
    if (!(looked instanceof Promise)) return settle(looked);
    if (extra === 0) return looked.then(settle);
    this.#asking.add(key);
    return looked.then((said) => {
      this.#asking.delete(key);
      return settle(said);
    });
  }

  /** Returns what is left of all loans. */
  close(): void {
    clearTimeout(this.#timer);
    for (const key of this.#loans.keys()) this.#return(key);
  }

  #extra({ size }: Bucket): number {
    const { lead, borrows } = this.#parts;
    return borrows ? Math.floor(size / (PART * lead.worker.of)) : 0;
  }

  #loanOf(key: string): Loan | undefined {
    const loan = this.#loans.get(key);
    if (!loan || loan.until > performance.now()) return loan;
    this.#return(key);
    return undefined;
  }

  #lend(key: string, bucket: Bucket, { lent, lender }: Looked): void {
    this.#loans.set(key, { left: lent, until: performance.now() + LENT_MS, bucket, lender });
    this.#timer ??= setTimeout(() => this.#returnOld(), LENT_MS).unref();
  }

  #returnOld(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [key, { until }] of this.#loans) if (until <= now) this.#return(key);
    if (this.#loans.size > 0) this.#timer = setTimeout(() => this.#returnOld(), LENT_MS).unref();
  }

  #return(key: string): void {
    const loan = this.#loans.get(key);
    this.#loans.delete(key);
    if (!loan || loan.left === 0) return;
    const { lead, id } = this.#parts;
    const { bucket, left, lender } = loan;
    void lead.look({ id, key, bucket, points: -left, aheadMs: ANYHOW_MS, extra: 0, lender });
  }

  /** The lead does not answer: this worker's share of the limit, which is whole over all workers. */
  #alone(key: string, bucket: Bucket, points: number, aheadMs: number): Answer {
    const { lead, own } = this.#parts;
    // 0 asks whether there is room for one more: of the share as well.
    const asks = points === 0 ? 1 : 0;
    const share = shareOf(bucket.size + asks, lead.worker);
    if (share === 0 && points >= 0) return { kind: 'no', ms: bucket.intervalMs };
    const intervalMs = (bucket.intervalMs * (bucket.size + asks)) / Math.max(1, share);
    return own.take(key, { intervalMs, size: share - asks }, points, aheadMs);
  }
}

/** As even as whole numbers are. */
function shareOf(size: number, { number, of }: LeadBuckets['worker']): number {
  return Math.floor(size / of) + (number <= size % of ? 1 : 0);
}

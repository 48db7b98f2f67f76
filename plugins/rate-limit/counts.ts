/** Where buckets are counted: in this process, or for all workers of the gateway. */
import type { MaybePromise } from '../../core/index.ts';
import type { Answer, Bucket } from './bucket.ts';

/** The buckets of one limit. */
export interface Counts {
  /** As `Buckets.take`. Never rejects. */
  take(key: string, bucket: Bucket, points: number, aheadMs: number): MaybePromise<Answer>;
}

/** The buckets that options of `rateLimit()` mean: so many at once, and so many per time. */
import { ConfigError, rate, readInteger, readParsed } from '../../core/index.ts';
import type { EventRate } from '../../core/index.ts';
import type { Bucket } from './bucket.ts';

/** A rate such as `'20/s'` with its burst as a bucket. @throws ConfigError */
export function bucketOf(path: string, limit: unknown, burst: unknown): Bucket {
  const { events, perMs } = readParsed(`${path}.limit`, limit, rate, "a rate such as '20/s'");
  const size = burst === undefined ? Math.ceil(events) : readInteger(`${path}.burst`, burst);
  return { intervalMs: perMs / events, size };
}

const BYTES = "bytes such as '10MB'";
const BYTES_PER_TIME = "bytes per time such as '10MB/s'";
/** PostgreSQL's units (manual, 19.1.1). */
const UNITS: Readonly<Record<string, number>> = { B: 1, kB: 1_024, MB: 1_024 ** 2, GB: 1_024 ** 3 };

function bytes(text: string, example: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(B|kB|MB|GB)$/.exec(text) ?? [];
  const found = Math.ceil(Number(number) * (UNITS[unit] ?? Number.NaN));
  if (found > 0) return found;
  throw new ConfigError(`expected ${example} (units: B, kB, MB, GB), got '${text}'`);
}

/** Bytes per time such as `'10MB/s'` with their burst as a bucket. @throws ConfigError */
export function byteBucketOf(path: string, limit: unknown, burst: unknown): Bucket {
  const perTime = (text: string): EventRate => {
    const [number = '', unit = ''] = text.split('/', 2);
    return { events: bytes(number, BYTES_PER_TIME), perMs: rate(`1/${unit}`).perMs };
  };
  const { events, perMs } = readParsed(`${path}.limit`, limit, perTime, BYTES_PER_TIME);
  const atOnce = (text: string): number => bytes(text, BYTES);
  const size = burst === undefined ? events : readParsed(`${path}.burst`, burst, atOnce, BYTES);
  return { intervalMs: perMs / events, size };
}

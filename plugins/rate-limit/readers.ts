/** Reads single options of `rateLimit()`: each says where it stands when it is wrong. */
import { ConfigError, Networks, milliseconds, parseNetwork, rate } from '../../core/index.ts';
import type { Bucket } from './bucket.ts';

/** Stops the boot. @throws ConfigError that begins with the path */
export function bad(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

/** An object with none but these members. @throws ConfigError */
export function objectOf<T extends object>(
  path: string,
  value: unknown,
  known: readonly (keyof T & string)[],
): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) bad(path, 'an object is needed');
  const stranger = Object.keys(value).find((name) => !(known as readonly string[]).includes(name));
  if (stranger !== undefined) bad(`${path}.${stranger}`, `no such option; there are ${known.join(', ')}`);
  return value as T;
}

/** One of these words. @throws ConfigError */
export function wordOf<T extends string>(path: string, value: unknown, words: readonly T[]): T {
  const word = words.find((one) => one === value);
  return word ?? bad(path, `one of ${words.map((one) => `'${one}'`).join(', ')} is needed`);
}

/** True or false. @throws ConfigError */
export function flag(path: string, value: unknown): boolean {
  return typeof value === 'boolean' ? value : bad(path, 'true or false is needed');
}

/** A whole number from 1. @throws ConfigError */
export function count(path: string, value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) > 0
    ? (value as number)
    : bad(path, 'a whole number from 1 is needed');
}

function parsed<T>(path: string, value: unknown, form: string, parse: (text: string) => T): T {
  if (typeof value !== 'string') return bad(path, `${form} is needed`);
  try {
    return parse(value);
  } catch (error) {
    return bad(path, error instanceof Error ? error.message : `${form} is needed`);
  }
}

/** A duration of a millisecond or more, in milliseconds. @throws ConfigError, also where it is longer than `mostMs` */
export function duration(path: string, value: unknown, mostMs: number): number {
  const ms = parsed(path, value, "a duration such as '10s'", milliseconds);
  if (ms < 1) return bad(path, 'at least a millisecond is needed');
  return ms <= mostMs ? ms : bad(path, `at most ${mostMs / 1_000} s are possible`);
}

/** Networks, none if absent. @throws ConfigError */
export function networks(path: string, value: unknown): Networks | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) return bad(path, 'a list of networks is needed');
  const all = (value as readonly unknown[]).map((one, index) =>
    parsed(`${path}[${index}]`, one, "a network such as '10.0.0.0/8'", parseNetwork),
  );
  return new Networks(all);
}

/** A rate such as `'20/s'` with its burst as a bucket. @throws ConfigError */
export function bucketOf(path: string, limit: unknown, burst: unknown): Bucket {
  const { events, perMs } = parsed(`${path}.limit`, limit, "a rate such as '20/s'", rate);
  const size = burst === undefined ? Math.ceil(events) : count(`${path}.burst`, burst);
  return { intervalMs: perMs / events, size };
}

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
  const each = parsed(`${path}.limit`, limit, "bytes per time such as '10MB/s'", (text) => {
    const [number = '', unit = ''] = text.split('/', 2);
    return { events: bytes(number, "bytes per time such as '10MB/s'"), perMs: rate(`1/${unit}`).perMs };
  });
  const size =
    burst === undefined
      ? each.events
      : parsed(`${path}.burst`, burst, "bytes such as '10MB'", (text) => bytes(text, "bytes such as '10MB'"));
  return { intervalMs: each.perMs / each.events, size };
}

/** Stores of a fleet in a Redis of the test. */
import { onTestFinished } from 'vitest';
import { RedisStore } from '../../../core/fleet/redis/redis-store.ts';
import type { RedisStoreOptions } from '../../../core/fleet/redis/redis-store.ts';

/** The options that say nothing. */
export const PLAIN = {
  name: 'test',
  password: undefined,
  ca: undefined,
  sentinels: [],
  sentinelPassword: undefined,
  timeoutMs: 60_000,
} as const;

/** Connects; the end of the test closes it. */
export async function storeAt(url: string, options: Partial<RedisStoreOptions> = {}): Promise<RedisStore> {
  const store = new RedisStore({ ...PLAIN, url, ...options });
  onTestFinished(() => store.close());
  await store.connect();
  return store;
}

/** A beat of one that lives long. */
export const alive = (
  store: RedisStore,
  id = 'a',
  boards: readonly string[] = [],
): ReturnType<RedisStore['beat']> => store.beat({ id, text: '' }, boards, 60_000);

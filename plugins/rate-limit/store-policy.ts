/** The options of the shared store, checked. */
import { milliseconds } from '../../core/index.ts';
import type { Secret } from '../../core/index.ts';
import type { RedisOptions } from './options.ts';
import { bad, duration, objectOf, wordOf } from './readers.ts';

/** How to reach the store. */
export interface StorePolicy {
  readonly url: string;
  readonly password: Secret | undefined;
  readonly timeoutMs: number;
  readonly prefix: string;
}

const KNOWN: readonly (keyof RedisOptions)[] = ['kind', 'url', 'password', 'timeout', 'prefix'];
/** Whoever cannot go on without an answer waits longer for one. */
const DEFAULT_TIMEOUT = { open: '200ms', closed: '1s' } as const;
/** A login waits for it, and so does a statement. */
const LONGEST_TIMEOUT_MS = milliseconds('10s');

/** It may have a password in it: no message repeats it. */
function urlOf(path: string, value: unknown): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  const good = url && ['redis:', 'rediss:'].includes(url.protocol) && url.hostname !== '';
  if (!good || !/^(\/\d{0,5})?$/.test(url.pathname) || url.search !== '' || url.hash !== '')
    return bad(path, "a URL such as 'redis://127.0.0.1:6379/0', or rediss:// with TLS, is needed");
  return String(value);
}

/** Checks the options. @throws ConfigError that names the option, such as `rateLimit.store.url` */
export function storeOf(given: unknown, failOpen: boolean): StorePolicy {
  const path = 'rateLimit.store';
  const {
    kind,
    url,
    password,
    timeout,
    prefix = 'postern:rate',
  } = objectOf<RedisOptions>(path, given, KNOWN);
  wordOf(`${path}.kind`, kind, ['redis']);
  if (password !== undefined && typeof password !== 'string' && typeof password !== 'function')
    bad(`${path}.password`, "a text, env('NAME') or file('path') is needed");
  if (typeof prefix !== 'string' || prefix === '') bad(`${path}.prefix`, 'a text is needed');
  return {
    url: urlOf(`${path}.url`, url),
    password,
    timeoutMs: duration(
      `${path}.timeout`,
      timeout ?? DEFAULT_TIMEOUT[failOpen ? 'open' : 'closed'],
      LONGEST_TIMEOUT_MS,
    ),
    prefix,
  };
}

/** The options of the shared store, checked. */
import { badOption, milliseconds, readChoice, readDuration, readObject, readText } from '../../core/index.ts';
import type { Secret } from '../../core/index.ts';
import type { RedisOptions } from './options.ts';

/** How to reach the store. */
export interface StorePolicy {
  readonly url: string;
  readonly password: Secret | undefined;
  /** PEM file with the authorities of its certificate. Undefined: those of the system. */
  readonly ca: string | undefined;
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
    return badOption(path, "a URL such as 'redis://127.0.0.1:6379/0', or rediss:// with TLS, is needed");
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
  } = readObject<RedisOptions>(path, given, KNOWN);
  readChoice(`${path}.kind`, kind, ['redis']);
  // A function may fetch it and is asked for each connection.
  if (password !== undefined && typeof password !== 'function')
    readText(`${path}.password`, password, "a text, env('NAME') or file('path')");
  return {
    url: urlOf(`${path}.url`, url),
    password,
    ca: undefined,
    timeoutMs: readDuration(`${path}.timeout`, timeout ?? DEFAULT_TIMEOUT[failOpen ? 'open' : 'closed'], {
      mostMs: LONGEST_TIMEOUT_MS,
    }),
    prefix: readText(`${path}.prefix`, prefix),
  };
}

/** What a client reads that is over a limit, and when it may come again. */
import { GatewayError } from '../../core/index.ts';
import type { Per } from './options.ts';

/** What is counted. */
export type What = 'connections' | 'failedLogins' | 'statements' | 'bytes';

const WORDS: Readonly<Record<What, string>> = {
  connections: 'too many connections',
  failedLogins: 'too many failed logins',
  statements: 'too many statements',
  bytes: 'too much data',
};

/** `in 3 s`, rounded up; a client that comes too early is refused again. */
function soon(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1_000));
  return seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} minutes`;
}

/** Over a limit (53400). `limit` as in the config or the token. */
export function overLimit(what: What, per: Per, limit: string, retryMs: number): GatewayError {
  const whose = per === 'address' ? 'from this address' : `for this ${per}`;
  return new GatewayError('configuration_limit_exceeded', `${WORDS[what]} ${whose}`, {
    detail: `The limit is ${limit}.`,
    hint: `Try again in ${soon(retryMs)}.`,
  });
}

/** The store cannot be asked, and `failOpen` is false. At a login 57P03: drivers come back, or try the next host. */
export function notCounted(what: What, cause: unknown): GatewayError {
  const login = what === 'connections' || what === 'failedLogins';
  return new GatewayError(
    login ? 'cannot_connect_now' : 'configuration_limit_exceeded',
    'limits cannot be checked now',
    { hint: 'Try again in some seconds.', cause },
  );
}

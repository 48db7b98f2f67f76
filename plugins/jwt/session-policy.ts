/** How long sessions last by their tokens: to `exp`, or for a time of their own where tokens are short-lived. */
import { bad, duration } from './option-readers.ts';
import type { IssuerOptions } from './options.ts';

/** What is asked of the sessions of one issuer. */
export interface SessionPolicy {
  /** Counted from the login or the last renewal, in milliseconds; absent: a session ends at its token's `exp`. */
  readonly maxSessionMs?: number;
}

/** Reads `sessions` and `maxSession`. @throws ConfigError */
export function parseSessions(
  path: string,
  { sessions, maxSession }: Pick<IssuerOptions, 'sessions' | 'maxSession'>,
): SessionPolicy {
  if (![undefined, 'until-exp', 'check-at-login'].includes(sessions))
    bad(`${path}.sessions`, "'until-exp' or 'check-at-login' is needed");
  if (sessions !== 'check-at-login') {
    if (maxSession !== undefined) bad(`${path}.maxSession`, "goes with sessions: 'check-at-login'");
    return {};
  }
  // Nobody should find out by chance how long a token of five minutes is good for.
  if (maxSession === undefined) bad(`${path}.maxSession`, "is needed with sessions: 'check-at-login'");
  const maxSessionMs = duration(`${path}.maxSession`, maxSession, '');
  return maxSessionMs > 0 ? { maxSessionMs } : bad(`${path}.maxSession`, 'no time is no session');
}

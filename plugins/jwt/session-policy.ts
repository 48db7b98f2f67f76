/** How long sessions last by their tokens: to `exp`, or for a time of their own where tokens are short-lived. */
import { badOption, readChoice, readDuration } from '../../core/index.ts';
import type { IssuerOptions } from './options.ts';

/** What is asked of the sessions of one issuer. */
export interface SessionPolicy {
  /** Counted from the login or the last renewal, in milliseconds; absent: a session ends at its token's `exp`. */
  readonly maxSessionMs?: number;
}

/** Reads `sessions` and `maxSession`. @throws ConfigError */
export function parseSessions(
  path: string,
  { sessions = 'until-exp', maxSession }: Pick<IssuerOptions, 'sessions' | 'maxSession'>,
): SessionPolicy {
  if (readChoice(`${path}.sessions`, sessions, ['until-exp', 'check-at-login']) === 'until-exp') {
    if (maxSession !== undefined) badOption(`${path}.maxSession`, "goes with sessions: 'check-at-login'");
    return {};
  }
  // Nobody should find out by chance how long a token of five minutes is good for.
  if (maxSession === undefined) badOption(`${path}.maxSession`, "is needed with sessions: 'check-at-login'");
  const maxSessionMs = readDuration(`${path}.maxSession`, maxSession, { leastMs: 0 });
  return maxSessionMs > 0 ? { maxSessionMs } : badOption(`${path}.maxSession`, 'no time is no session');
}

/** Checks what a plugin announces to clients of OAUTHBEARER: whoever asks gets it, and libpq reads no more than so much. */
import { LONGEST_STATUS, bearerStatus } from '../wire/oauthbearer.ts';
import { kindOf } from './sentences.ts';

/** One or more scope tokens (RFC 6749 §3.3). */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/;

/** Sentences about `announces` of a plugin. */
export function checkAnnouncement(announces: unknown): readonly string[] {
  if (announces === undefined) return [];
  if (typeof announces !== 'object' || announces === null)
    return [`announces: expected an object, got ${kindOf(announces)}`];
  const { discovery, scope } = announces as { readonly discovery?: unknown; readonly scope?: unknown };
  if (typeof discovery !== 'string' || !/^https:\/\/./.test(discovery) || !URL.canParse(discovery))
    return ['announces.discovery: expected an address of https'];
  if (typeof scope !== 'string' || !SCOPE.test(scope))
    return ['announces.scope: expected scopes, separated by single spaces'];
  const { length } = bearerStatus(discovery, scope);
  if (length <= LONGEST_STATUS) return [];
  return [`announces: is ${length} bytes as clients get it, and libpq reads at most ${LONGEST_STATUS}`];
}

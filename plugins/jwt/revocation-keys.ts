/** Under which keys revocations stand, and which of them a token can fall under: both sides are found without a walk. */
import type { Identity, RevocationTarget } from '../../core/index.ts';

const tokenKey = (tokenId: string): string => `token ${tokenId}`;
const subjectKey = (issuer: string, subject: string): string =>
  `subject ${JSON.stringify([issuer, subject])}`;
/** The key of revocations of all that an issuer has issued before a date. */
export const issuerKey = (issuer: string): string => `issuer ${issuer}`;

/** Every revocation stands under one key. */
export function keyOf(what: RevocationTarget): string {
  if ('tokenId' in what) return tokenKey(what.tokenId);
  return 'subject' in what ? subjectKey(what.issuer, what.subject) : issuerKey(what.issuer);
}

/** The keys of the revocations that a token can fall under. */
export function keysOf({ issuer, subject, tokenId }: Identity): readonly string[] {
  const own = [subjectKey(issuer, subject), issuerKey(issuer)];
  return tokenId === undefined ? own : [tokenKey(tokenId), ...own];
}

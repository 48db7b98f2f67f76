/** One revocation: which tokens are good no longer, and until when it has to be remembered. */
import { createHash } from 'node:crypto';
import type { Identity, RevocationTarget } from '../../core/index.ts';

/** A revocation in force. Plain data. */
export interface Revocation {
  /** Made from what it is about: the same revocation has the same id everywhere. */
  readonly id: string;
  readonly what: RevocationTarget;
  /** When it was made, in milliseconds since the epoch. */
  readonly at: number;
  /** When every token it is about has expired, in milliseconds since the epoch. */
  readonly until: number;
}

/** Longest text in one, in characters: what claims are compared with. */
const LONGEST_TEXT = 512;

const isText = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= LONGEST_TEXT;

/** What no revocation can be made of; the message says what is wanted. */
export class NotARevocation extends Error {
  override readonly name = 'NotARevocation';
}

function fail(why: string): never {
  throw new NotARevocation(why);
}

function dateOf(value: unknown): Date {
  const known = value instanceof Date || typeof value === 'string' ? new Date(value) : new Date(Number.NaN);
  return Number.isNaN(known.getTime()) ? fail('before is not a date (ISO 8601)') : known;
}

/**
 * Reads what is to be revoked: `{ tokenId, issuer? }`, `{ issuer, subject }` or `{ issuer, before }`.
 * @throws NotARevocation for anything else
 */
export function parseTarget(value: unknown): RevocationTarget {
  if (typeof value !== 'object' || value === null) fail('an object is needed');
  const given = value as Readonly<Record<string, unknown>>;
  const names = Object.keys(given).toSorted().join(' ');
  for (const name of ['tokenId', 'issuer', 'subject']) {
    if (Object.hasOwn(given, name) && !isText(given[name]))
      fail(`${name} is not a text of 1 to ${LONGEST_TEXT} characters`);
  }
  const { tokenId, issuer, subject, before } = given as Record<string, string>;
  if (names === 'tokenId' && tokenId !== undefined) return { tokenId };
  if (names === 'issuer tokenId' && tokenId !== undefined && issuer !== undefined) return { tokenId, issuer };
  if (names === 'issuer subject' && issuer !== undefined && subject !== undefined) return { issuer, subject };
  if (names === 'before issuer' && issuer !== undefined) return { issuer, before: dateOf(before) };
  return fail('needed is tokenId, tokenId and issuer, issuer and subject, or issuer and before');
}

/** One that has been JSON. @throws NotARevocation */
export function reviveRevocation(revocation: Revocation): Revocation {
  return { ...revocation, what: parseTarget(revocation.what) };
}

/** Two revocations of the same tokens have one id. */
export function revocationId(what: RevocationTarget): string {
  const { tokenId, issuer, subject, before } = what as Readonly<Record<string, unknown>>;
  const text = JSON.stringify([tokenId, issuer, subject, before].map((part) => part ?? null));
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
}

/** What a refused login's line says of it. */
export function whyRevoked({ id, what }: Revocation): string {
  return `revoked by ${Object.keys(what).join(' and ')} (revocation ${id})`;
}

/** When a token was issued, in milliseconds since the epoch. One without `iat` is taken for issued before any date. */
export function issuedAt({ claims: { iat } }: Identity): number {
  return typeof iat === 'number' ? iat * 1_000 : -Infinity;
}

/** Whether a token is one of those. */
export function isRevokedBy({ what }: Revocation, identity: Identity): boolean {
  if ('tokenId' in what) {
    return (
      what.tokenId === identity.tokenId && (what.issuer === undefined || what.issuer === identity.issuer)
    );
  }
  if (what.issuer !== identity.issuer) return false;
  if ('subject' in what) return what.subject === identity.subject;
  return issuedAt(identity) < what.before.getTime();
}

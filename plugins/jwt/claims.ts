/** The claim policy beyond what jose checks (RFC 7519 §4.1), and the identity a token states. */
import type { Identity } from '../../core/index.ts';
import type { IssuerPolicy } from './policy.ts';
import { TokenRefused } from './refusal.ts';

type Claims = Readonly<Record<string, unknown>>;

/** Line breaks, control, half and direction-changing characters: they forge log lines and audit trails. */
const MISLEADING = /[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/u;

/** A NumericDate (RFC 7519 §2) in seconds. JSON can spell numbers that overflow to Infinity. */
function numericDate(name: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new TokenRefused(`${name} is not a number`);
  return value;
}

function subjectOf(claims: Claims): string {
  const { sub } = claims;
  if (typeof sub !== 'string' || sub === '') throw new TokenRefused('sub is not a text');
  if (MISLEADING.test(sub)) throw new TokenRefused('sub has control characters');
  return sub;
}

function tokenIdOf(claims: Claims): { tokenId?: string } {
  const { jti } = claims;
  if (jti === undefined) return {};
  if (typeof jti !== 'string' || jti === '' || MISLEADING.test(jti))
    throw new TokenRefused('jti is not a text');
  return { tokenId: jti };
}

/** The trust domain of a SPIFFE ID (SPIFFE ID §2) as an issuer is named for it; undefined for any other subject. */
function trustDomainOf(subject: unknown): string | undefined {
  return typeof subject === 'string' ? /^spiffe:\/\/[a-z0-9._-]{1,255}(?=\/.)/.exec(subject)?.[0] : undefined;
}

/**
 * Who says it issued a token: `iss`, or the trust domain of a JWT-SVID that has none (SPIFFE JWT-SVID §3).
 * Unverified: it picks whose keys to verify with.
 */
export function issuerOf({ iss, sub }: Claims): string | undefined {
  if (iss === undefined) return trustDomainOf(sub);
  // An `iss` with the name of a trust domain would skip the look at the subject.
  return typeof iss === 'string' && !iss.startsWith('spiffe://') ? iss : undefined;
}

function checkParty({ azp }: Claims, wanted: readonly string[] | undefined): void {
  if (wanted && !wanted.some((party) => party === azp)) throw new TokenRefused('azp is not a configured one');
}

/** Checks the times and returns `exp`. */
function expiryOf(claims: Claims, policy: IssuerPolicy, now: number): number {
  const exp = numericDate('exp', claims['exp']);
  const iat = claims['iat'] === undefined ? undefined : numericDate('iat', claims['iat']);
  // No grace here: the session would end at once.
  if (exp <= now) throw new TokenRefused(`expired ${Math.ceil(now - exp)} s ago`);
  if (iat !== undefined && iat > now + policy.clockTolerance) throw new TokenRefused('iat is in the future');
  if (exp - (iat ?? now) > policy.maxLifetime) {
    throw new TokenRefused(`lives longer than ${policy.maxLifetime} s`);
  }
  return exp;
}

/**
 * Checks the claims of a token whose signature, `iss`, `aud` and `nbf` are verified.
 * @param now seconds since the epoch, by the wall clock as the claims are
 * @throws TokenRefused
 */
export function identityOf(claims: Claims, policy: IssuerPolicy, now: number): Identity {
  const { aud } = claims;
  if (Array.isArray(aud) && aud.some((item) => typeof item !== 'string')) {
    throw new TokenRefused('aud is not a list of texts');
  }
  checkParty(claims, policy.azp);
  const exp = expiryOf(claims, policy, now);
  return {
    issuer: policy.issuer,
    subject: subjectOf(claims),
    ...tokenIdOf(claims),
    expiresAt: new Date(exp * 1_000),
    claims,
  };
}

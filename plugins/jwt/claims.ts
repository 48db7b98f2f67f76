/** The claim policy beyond what jose checks (RFC 7519 §4.1), and the identity a token states. */
import { claimAt, hasClaim, shown, shownChoice } from '../../core/index.ts';
import type { Identity } from '../../core/index.ts';
import type { IssuerPolicy } from './policy.ts';
import { checkRequired, refuseElsewhere } from './required-claims.ts';
import { TokenRefused } from './refusal.ts';

type Claims = Readonly<Record<string, unknown>>;

/** Line breaks, control, half and direction-changing characters: they forge log lines and audit trails. */
const MISLEADING = /[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/u;

/** A NumericDate (RFC 7519 §2) in seconds. JSON can spell numbers that overflow to Infinity. */
function numericDate(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new TokenRefused(`${name} is ${shown(value)}, a number of seconds is needed`);
}

function subjectOf(claims: Claims): string {
  const { sub } = claims;
  if (typeof sub !== 'string' || sub === '') throw new TokenRefused(`sub is ${shown(sub)}, a text is needed`);
  if (MISLEADING.test(sub)) throw new TokenRefused(`sub has control characters: ${shown(sub)}`);
  return sub;
}

function tokenIdOf(claims: Claims): { tokenId?: string } {
  const { jti } = claims;
  if (jti === undefined) return {};
  if (typeof jti !== 'string' || jti === '' || MISLEADING.test(jti))
    throw new TokenRefused(`jti is ${shown(jti)}, a text without control characters is needed`);
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

/** Why `iss` is none of the configured ones: names are compared character by character, and the nearest one is told. */
export function strangeIssuer({ iss, sub }: Claims, configured: readonly string[]): string {
  const wanted = shownChoice(configured);
  const subject = trustDomainOf(sub);
  if (iss === undefined && subject !== undefined)
    return `iss is absent, and sub is of ${shown(subject)}, wanted ${wanted}`;
  if (typeof iss !== 'string') return `iss is ${shown(iss)}, wanted ${wanted}`;
  if (iss.startsWith('spiffe://')) return `iss is ${shown(iss)}, and a token of a trust domain has none`;
  const folded = (name: string): string => name.toLowerCase().replace(/\/$/, '');
  const near = configured.find((name) => folded(name) === folded(iss));
  if (near === undefined) return `iss is ${shown(iss)}, wanted ${wanted}`;
  return `iss is ${shown(iss)}, and the config has ${shown(near)}: every character counts`;
}

/** Where another claim than `aud` names the audience: jose knows none but that. A token with an `aud` is for nobody else (RFC 7519 §4.1.3). */
function checkAudience(claims: Claims, { audience, audienceClaim }: IssuerPolicy): void {
  if (audienceClaim === undefined) return;
  refuseElsewhere(claims, [audienceClaim]);
  const names = claims['aud'] === undefined ? [audienceClaim] : [audienceClaim, 'aud'];
  const wrong = names.find((name) => !audience.some((one) => hasClaim(claims, name, one)));
  if (wrong === undefined) return;
  throw new TokenRefused(`${wrong} is ${shown(claimAt(claims, wrong))}, wanted ${shownChoice(audience)}`);
}

function checkParty({ azp }: Claims, wanted: readonly string[] | undefined): void {
  if (wanted && !wanted.some((party) => party === azp))
    throw new TokenRefused(`azp is ${shown(azp)}, wanted ${shownChoice(wanted)}`);
}

/** A number of this size is a time in milliseconds. */
const IN_MILLISECONDS = 1e11;

/** What is wrong with a time that is ahead of this clock. */
export function ahead(name: string, at: number, { clockTolerance }: IssuerPolicy, now: number): string {
  return `${name} is ${Math.ceil(at - now)} s ahead, ${clockTolerance} s allowed (clockTolerance)`;
}

/** Checks the times and returns `exp`. */
function expiryOf(claims: Claims, policy: IssuerPolicy, now: number): number {
  const exp = numericDate('exp', claims['exp']);
  const iat = claims['iat'] === undefined ? undefined : numericDate('iat', claims['iat']);
  // No grace here: the session would end at once.
  if (exp <= now) throw new TokenRefused(`expired ${Math.ceil(now - exp)} s ago`);
  if (iat !== undefined && iat > now + policy.clockTolerance)
    throw new TokenRefused(ahead('iat', iat, policy, now));
  const life = exp - (iat ?? now);
  if (life > policy.maxLifetime) {
    const hint = exp > IN_MILLISECONDS ? ': is exp in milliseconds?' : '';
    throw new TokenRefused(
      `lives ${Math.ceil(life)} s, ${policy.maxLifetime} s allowed (maxLifetime)${hint}`,
    );
  }
  return exp;
}

/** What a token without one of these may do is more than, or other than, what one with it may. */
const MEANT = ['iss', 'sub', 'aud', 'azp', 'exp', 'nbf', 'iat', 'jti', 'cnf'];

/**
 * Checks the claims of a token whose signature, `iss`, `aud` and `nbf` are verified.
 * @param now seconds since the epoch, by the wall clock as the claims are
 * @throws TokenRefused
 */
export function identityOf(claims: Claims, policy: IssuerPolicy, now: number): Identity {
  const { aud } = claims;
  refuseElsewhere(claims, MEANT);
  if (Array.isArray(aud) && aud.some((item) => typeof item !== 'string')) {
    throw new TokenRefused(`aud is ${shown(aud)}, a text or a list of texts is needed`);
  }
  checkAudience(claims, policy);
  checkParty(claims, policy.azp);
  checkRequired(claims, policy.requiredClaims);
  const exp = expiryOf(claims, policy, now);
  return {
    issuer: policy.issuer,
    subject: subjectOf(claims),
    ...tokenIdOf(claims),
    expiresAt: new Date(exp * 1_000),
    claims,
  };
}

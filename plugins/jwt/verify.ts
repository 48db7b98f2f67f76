/** The way of a token from text to identity: what is cheap to refuse is refused before jose sees it. */
import { errors, jwtVerify } from 'jose';
import type { CryptoKey, JWTPayload } from 'jose';
import type { Identity } from '../../core/index.ts';
import { checkBinding } from './binding.ts';
import { identityOf, issuerOf, strangeIssuer } from './claims.ts';
import { parseCompact } from './compact.ts';
import type { CompactToken } from './compact.ts';
import { checkHeader } from './header.ts';
import type { KeyHint } from './header.ts';
import type { KeySet } from './key-set.ts';
import type { Found, KeyStore } from './key-store.ts';
import type { IssuerPolicy, Policy } from './policy.ts';
import { KeysUnavailable, labelsOf, TokenRefused } from './refusal.ts';
import type { TokenLabels } from './refusal.ts';
import { refuseElsewhere } from './required-claims.ts';
import { RememberedTokens } from './remembered.ts';
import type { Verified } from './remembered.ts';
import { whyRevoked } from './revocation.ts';
import type { Revocation } from './revocation.ts';
import { parseTokenRules } from './token-rules.ts';
import { whyRefused, wrongSignature } from './why-refused.ts';

/** An issuer's policy with the store of its keys: one issuer, one key set. */
export interface KnownIssuer {
  readonly policy: IssuerPolicy;
  readonly store: KeyStore;
}

/**
 * Verifies a token for a connection: `certificateSha256` is the hex of its verified client certificate's SHA-256.
 * @throws TokenRefused for every token that is not good
 * @throws KeysUnavailable if that cannot be found out now
 */
export type Verify = (token: string, certificateSha256?: string) => Promise<Verified>;

/**
 * OpenSSL also takes an RSA signature without its leading zeros: a second text for one token in 256. RFC 8017 §8.1.2 and §8.2.2
 * refuse one whose length is not that of the modulus.
 */
function hasLengthFor({ algorithm }: CryptoKey, bytes: number): boolean {
  const bits = 'modulusLength' in algorithm ? algorithm.modulusLength : undefined;
  return typeof bits !== 'number' || Math.ceil(bits / 8) === bytes;
}

/** The claims, if one of the keys has signed them; undefined if none has. @throws TokenRefused */
async function signedBy(
  { keys }: Found,
  token: string,
  policy: IssuerPolicy,
): Promise<JWTPayload | undefined> {
  const { length } = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url');
  for (const key of keys) {
    if (!hasLengthFor(key, length)) continue;
    try {
      const { payload } = await jwtVerify(token, key, {
        // A JWT-SVID has none.
        ...(policy.issuer.startsWith('spiffe://') ? {} : { issuer: policy.issuer }),
        ...(policy.audienceClaim === undefined ? { audience: [...policy.audience] } : {}),
        algorithms: [...policy.algorithms],
        // Without exp here jose accepts a token that never expires.
        requiredClaims: ['exp', 'sub'],
        clockTolerance: policy.clockTolerance,
      });
      return payload;
    } catch (error) {
      // Only a wrong signature leaves hope for another key.
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) {
        throw new TokenRefused(whyRefused(error, policy));
      }
    }
  }
  return undefined;
}

/** By the keys at hand, and where none of them has signed it, once more by those that have come in their place. */
async function verifySignature(
  token: string,
  hint: KeyHint,
  { policy, store }: KnownIssuer,
): Promise<{ readonly claims: JWTPayload; readonly set: KeySet }> {
  const found = await store.find(hint);
  const claims = await signedBy(found, token, policy);
  if (claims) return { claims, set: found.set };
  const newer = await store.findNewer(hint, found);
  const signed = newer && (await signedBy(newer, token, policy));
  if (newer && signed) return { claims: signed, set: newer.set };
  throw new TokenRefused(wrongSignature(token, hint.alg));
}

/** Whatever else went wrong was caused by the token, and its message may quote it. */
function labelled(error: unknown, labels: TokenLabels): Error {
  if (error instanceof KeysUnavailable) return new KeysUnavailable(error.message, labels);
  return new TokenRefused(error instanceof TokenRefused ? error.message : 'could not be verified', labels);
}

/** Sessions share a remembered identity, so none may change it. */
function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) freeze(inner);
  }
  return value;
}

/** Makes the verifier of a policy. A token that is revoked is refused, however well it is remembered. */
export function tokenVerifier(
  policy: Policy,
  issuers: ReadonlyMap<string, KnownIssuer>,
  revocationOf: (identity: Identity) => Revocation | undefined,
): Verify {
  const remembered = new RememberedTokens();

  function issuerFor(token: CompactToken): KnownIssuer {
    const issuer = issuerOf(token.claims);
    // Chosen before any key is looked for: a key of one issuer can never vouch for another.
    const known = issuer === undefined ? undefined : issuers.get(issuer);
    if (!known) throw new TokenRefused(strangeIssuer(token.claims, [...issuers.keys()]));
    return known;
  }

  async function verifyParsed(text: string, token: CompactToken): Promise<Verified> {
    const { policy: asked, store } = issuerFor(token);
    const hint = { ...checkHeader(token.header, asked), issuer: asked.issuer };
    const { claims, set } = await verifySignature(text, hint, { policy: asked, store });
    // A token whose rules are elsewhere is not one without rules.
    refuseElsewhere(claims, [policy.rulesClaim]);
    const identity = identityOf(claims, asked, Date.now() / 1_000);
    const verified = freeze({
      identity,
      rules: parseTokenRules(policy.rulesClaim, claims[policy.rulesClaim]),
    });
    remembered.add(text, verified, () => {
      const current = store.current();
      return current instanceof Promise ? current.then((late) => late === set) : current === set;
    });
    return verified;
  }

  return async (text, certificateSha256) => {
    const bytes = Buffer.byteLength(text);
    if (bytes > policy.maxTokenBytes)
      throw new TokenRefused(`is ${bytes} bytes long, ${policy.maxTokenBytes} allowed (maxTokenBytes)`);
    const found = remembered.find(text);
    const known = found instanceof Promise ? await found : found;
    const token = known ? { header: {}, claims: known.identity.claims } : parseCompact(text);
    try {
      const verified = known ?? (await verifyParsed(text, token));
      checkBinding(verified.identity.claims['cnf'], certificateSha256);
      const revocation = revocationOf(verified.identity);
      if (revocation) throw new TokenRefused(whyRevoked(revocation));
      return verified;
    } catch (error) {
      throw labelled(error, labelsOf(token.header, token.claims));
    }
  };
}

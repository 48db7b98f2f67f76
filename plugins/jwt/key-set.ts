/** A JSON Web Key Set (RFC 7517 §5) reduced to the public keys that can verify a signature. */
import { createPublicKey } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { createLocalJWKSet, errors } from 'jose';
import type { CryptoKey } from 'jose';
import type { KeyHint } from './header.ts';
import { ALGORITHMS } from './options.ts';
import { TokenRefused } from './refusal.ts';

/** More keys than any issuer rotates through. */
const MAX_KEYS = 100;
/** How many keys may share one `kid`: each of them costs a signature check. */
const MAX_SAME_KID = 4;
/** Shortest RSA modulus in bits (RFC 7518 §3.3). */
const MIN_RSA_BITS = 2_048;

/** The usable keys of an issuer at one moment. */
export interface KeySet {
  /** Equal texts are equal sets. */
  readonly text: string;
  readonly size: number;
  /** Whether a key has this `kid`, for whatever algorithm. */
  knows(kid: string): boolean;
  /**
   * The keys a token with this header may be signed with, none included.
   * @throws TokenRefused if the token names no key and there is more than one
   */
  match(hint: KeyHint): Promise<readonly CryptoKey[]>;
}

type Jwk = Readonly<Record<string, unknown>>;

/** Members that say what a public key is; all others, private parts and certificates among them, are left behind. */
const PUBLIC = ['kty', 'kid', 'key_ops', 'alg', 'crv', 'x', 'y', 'n', 'e'] as const;
/** Values of `use` for signatures (RFC 7517 §4.2; SPIFFE Trust Domain and Bundle §4.2.2). */
const SIGNING: readonly unknown[] = [undefined, 'sig', 'jwt-svid'];

/** Why a key cannot be used; undefined if it can. Foreign keys are normal in a set: encryption keys, new key types. */
function unusable(jwk: Jwk): string | undefined {
  const { kty, use, key_ops: operations, alg, kid } = jwk;
  if ('d' in jwk || 'k' in jwk) return 'private or secret';
  if (kid !== undefined && typeof kid !== 'string') return 'kid is not a text';
  if (!SIGNING.includes(use)) return 'not for signatures';
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return 'not for signatures';
  }
  if (alg !== undefined && !ALGORITHMS.some((known) => known === alg)) return 'unknown algorithm';
  return kty === 'RSA' || kty === 'EC' || kty === 'OKP' ? broken(jwk) : 'unknown kind of key';
}

function broken(jwk: Jwk): string | undefined {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    return 'not a valid key';
  }
  if (key.asymmetricKeyType === 'rsa') {
    return (key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS ? 'RSA below 2048 bits' : undefined;
  }
  const curve = jwk['crv'];
  const known = curve === 'Ed25519' || curve === 'P-256' || curve === 'P-384' || curve === 'P-521';
  return known ? undefined : 'unknown curve';
}

function publicPart(jwk: Jwk): Jwk {
  return Object.fromEntries(PUBLIC.filter((name) => name in jwk).map((name) => [name, jwk[name]]));
}

type Resolve = ReturnType<typeof createLocalJWKSet>;

async function match(resolve: Resolve, hint: KeyHint): Promise<readonly CryptoKey[]> {
  try {
    return [await resolve({ ...hint })];
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return [];
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    const keys: CryptoKey[] = [];
    for await (const key of error) if (keys.push(key) === MAX_SAME_KID) break;
    return keys;
  }
}

/**
 * Reads a key set; keys that are of no use here are skipped.
 * @throws Error with a short reason if it is none, has more than 100 keys, or none of use
 */
export function parseKeySet(document: unknown): KeySet {
  const all =
    typeof document === 'object' && document !== null && 'keys' in document ? document.keys : undefined;
  if (!Array.isArray(all)) throw new Error('not a key set: an object with a list "keys" is needed');
  if (all.length > MAX_KEYS) throw new Error(`more than ${MAX_KEYS} keys`);
  const keys: Jwk[] = [];
  const skipped: string[] = [];
  for (const jwk of all as unknown[]) {
    const why = typeof jwk === 'object' && jwk !== null ? unusable(jwk as Jwk) : 'not an object';
    if (why === undefined) keys.push(publicPart(jwk as Jwk));
    else skipped.push(why);
  }
  if (keys.length === 0)
    throw new Error(`no usable key (${[...new Set(skipped)].join(', ') || 'the set is empty'})`);
  const resolve = createLocalJWKSet({ keys });
  const kids = new Set(keys.map((jwk) => jwk['kid']));
  return {
    text: JSON.stringify(keys),
    size: keys.length,
    knows: (kid) => kids.has(kid),
    match: async (hint) => {
      // Not guessed by the algorithm: it is the token's choice, and the next key may have the same.
      if (hint.kid === undefined && keys.length > 1) {
        throw new TokenRefused('names no key (kid), and the issuer has several');
      }
      return match(resolve, hint);
    },
  };
}

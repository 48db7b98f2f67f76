/** One public key of an issuer (RFC 7517 §4), reduced to the parts that verify a signature, in one spelling. */
import { createPublicKey } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { importJWK } from 'jose';
import type { CryptoKey } from 'jose';
import { shown } from '../../core/index.ts';
import { ALGORITHMS, ED25519 } from './options.ts';
import type { Algorithm } from './options.ts';

/** Shortest RSA modulus in bits (RFC 7518 §3.3). */
const MIN_RSA_BITS = 2_048;
/** Values of `use` for signatures (RFC 7517 §4.2; SPIFFE Trust Domain and Bundle §4.2.2). */
const SIGNING: readonly unknown[] = [undefined, 'sig', 'jwt-svid'];

const RSA: readonly Algorithm[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const CURVES: Readonly<Record<string, readonly Algorithm[]>> = {
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
  Ed25519: ED25519,
};

type Jwk = Readonly<Record<string, unknown>>;

/** A key that cannot be used; the message says why, and names neither the key nor its issuer. */
class Unusable extends Error {
  override readonly name = 'Unusable';
}

/** Members that a serializer wrote as null are not there. */
function withoutNulls(jwk: object): Jwk {
  return Object.fromEntries(Object.entries(jwk).filter(([, value]) => value !== null));
}

/**
 * `key_ops` is only looked at for keys that are clearly for something else: public keys with the operations of their
 * private halves are common, such as the six of Azure Key Vault.
 */
function checkPurpose({ use, key_ops: operations }: Jwk): void {
  const other =
    Array.isArray(operations) &&
    operations.length > 0 &&
    !operations.includes('verify') &&
    !operations.includes('sign');
  if (other || !SIGNING.includes(use)) throw new Unusable('not for signatures');
}

function publicKeyOf(jwk: Jwk): KeyObject {
  const { kty, x5c } = jwk;
  const without = kty === 'RSA' ? jwk['n'] === undefined : jwk['x'] === undefined;
  if (x5c !== undefined && without) throw new Unusable('only a certificate (x5c), without the key itself');
  if (kty !== 'RSA' && kty !== 'EC' && kty !== 'OKP') throw new Unusable('unknown kind of key');
  try {
    return createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    throw new Unusable('not a valid key');
  }
}

/** What a key verifies: all that its kind can, or the one algorithm that it names. */
function algorithmsOf({ crv, alg }: Jwk, key: KeyObject): readonly Algorithm[] {
  const kind = key.asymmetricKeyType === 'rsa' ? RSA : CURVES[typeof crv === 'string' ? crv : ''];
  if (kind === undefined) throw new Unusable('unknown curve');
  if (alg === undefined || kind === ED25519) return kind;
  const named = kind.filter((name) => name === alg);
  if (named.length > 0) return named;
  const known = ALGORITHMS.some((name) => name === alg);
  throw new Unusable(
    known ? `alg ${shown(alg)} is for another kind of key` : `unknown algorithm ${shown(alg)}`,
  );
}

function checkStrength(key: KeyObject): void {
  const weak =
    key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS;
  if (weak) throw new Unusable('RSA below 2048 bits');
}

/** A key that can verify signatures. */
export class VerificationKey {
  readonly kid: string | undefined;
  readonly algorithms: readonly Algorithm[];
  /** Whose it is, as the keys of Microsoft Entra ID say. */
  readonly issuer: string | undefined;
  /** Its public members, `kid`, `alg` and `issuer`; equal texts are equal keys. */
  readonly text: string;
  readonly #jwk: JsonWebKey;
  readonly #imported = new Map<Algorithm, Promise<CryptoKey>>();

  /** @throws Error that says why it is of no use */
  constructor(document: unknown) {
    if (typeof document !== 'object' || document === null) throw new Unusable('not an object');
    const jwk = withoutNulls(document);
    const { kid, alg, issuer } = jwk;
    if ('d' in jwk || 'k' in jwk) throw new Unusable('private or secret');
    if (kid !== undefined && typeof kid !== 'string') throw new Unusable('kid is not a text');
    checkPurpose(jwk);
    const key = publicKeyOf(jwk);
    this.algorithms = algorithmsOf(jwk, key);
    checkStrength(key);
    this.kid = kid === '' ? undefined : kid;
    // As Node spells it: others leave zeros out, or put padding in.
    this.#jwk = key.export({ format: 'jwk' });
    this.issuer = typeof issuer === 'string' ? issuer : undefined;
    this.text = JSON.stringify({ ...this.#jwk, kid: this.kid, alg, issuer: this.issuer });
  }

  /** For signatures of this algorithm, one of its own. */
  for(algorithm: Algorithm): Promise<CryptoKey> {
    const imported = this.#imported.get(algorithm) ?? (importJWK(this.#jwk, algorithm) as Promise<CryptoKey>);
    this.#imported.set(algorithm, imported);
    return imported;
  }
}

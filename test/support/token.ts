/** An issuer of tokens for tests: real keys of every algorithm, good tokens, and the means to forge bad ones. */
import { constants, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** Every algorithm the `jwt` plugin accepts. */
export const ALGORITHMS = [
  'ES256',
  'EdDSA',
  'Ed25519',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
] as const;

export type Algorithm = (typeof ALGORITHMS)[number];
type Members = Readonly<Record<string, unknown>>;

/** What {@link issuer} may be told. */
export interface TokenIssuerOptions {
  /** Default `'https://id.example'`. */
  readonly issuer?: string;
  /** Default `'postern'`. */
  readonly audience?: string;
  /** Keys to make. Default: all; the first signs by default. */
  readonly algorithms?: readonly Algorithm[];
  /** Put behind the algorithm to make the `kid`. Default `'1'`: `ES256-1`. */
  readonly generation?: string;
}

/** Makes tokens, and publishes its keys. */
export interface TokenIssuer {
  readonly issuer: string;
  readonly audience: string;
  /** Public keys, each with `alg`, `use` and `kid`. */
  readonly jwks: { readonly keys: readonly object[] };
  /** What `jwt({ issuers: [here] })` takes. */
  readonly options: {
    readonly issuer: string;
    readonly audience: string;
    readonly jwks: { readonly keys: readonly object[] };
  };
  kid(algorithm: Algorithm): string;
  privateKey(algorithm: Algorithm): KeyObject;
  publicKey(algorithm: Algorithm): KeyObject;
  /**
   * A token that is good for five minutes, for subject `alice` with the claim `role: 'reader'`; what is given replaces
   * or, where undefined, removes claims and header parameters.
   */
  sign(claims?: Members, header?: Members): string;
}

/** Base64url of a text, of bytes, or of a value's JSON. */
export function encode(content: unknown): string {
  if (Buffer.isBuffer(content)) return content.toString('base64url');
  return Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)).toString('base64url');
}

/** Signs bytes as the algorithm says (RFC 7518 §3, RFC 8037 §3.1). */
export function signature(algorithm: Algorithm, key: KeyObject, data: string): Buffer {
  const bytes = Buffer.from(data);
  if (algorithm === 'EdDSA' || algorithm === 'Ed25519') return sign(null, bytes, key);
  const digest = `sha${algorithm.slice(2)}`;
  if (algorithm.startsWith('ES')) return sign(digest, bytes, { key, dsaEncoding: 'ieee-p1363' });
  if (algorithm.startsWith('RS')) return sign(digest, bytes, key);
  const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
  return sign(digest, bytes, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
}

/** Header and payload exactly as given, with a true signature by `key`: what a hostile or careless signer could make. */
export function forge(header: unknown, payload: unknown, algorithm: Algorithm, key: KeyObject): string {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${signature(algorithm, key, input).toString('base64url')}`;
}

/** Makes a key that can sign with the algorithm. */
export function makeKey(algorithm: Algorithm): KeyObject {
  if (algorithm === 'EdDSA' || algorithm === 'Ed25519') return generateKeyPairSync('ed25519').privateKey;
  if (!algorithm.startsWith('ES')) return generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey;
  const namedCurve = algorithm === 'ES512' ? 'P-521' : `P-${algorithm.slice(2)}`;
  return generateKeyPairSync('ec', { namedCurve }).privateKey;
}

/** Algorithms of the same family may share a key; making an RSA key takes a tenth of a second. */
function family(algorithm: Algorithm): string {
  return /^(RS|PS|Ed)/.test(algorithm) ? algorithm.slice(0, 2).replace('PS', 'RS') : algorithm;
}

/** Seconds since the epoch, as claims count them. */
export function now(): number {
  return Math.floor(Date.now() / 1_000);
}

/** Makes an issuer with fresh keys. */
export function issuer(options: TokenIssuerOptions = {}): TokenIssuer {
  const { issuer: iss = 'https://id.example', audience = 'postern', generation = '1' } = options;
  const algorithms = options.algorithms ?? ALGORITHMS;
  const keys = new Map<string, KeyObject>();
  const privateKey = (algorithm: Algorithm): KeyObject => {
    const key = keys.get(family(algorithm)) ?? makeKey(algorithm);
    keys.set(family(algorithm), key);
    return key;
  };
  const publicKey = (algorithm: Algorithm) => createPublicKey(privateKey(algorithm));
  const kid = (algorithm: Algorithm) => `${algorithm}-${generation}`;
  const jwks = {
    keys: algorithms.map((alg) => ({
      ...publicKey(alg).export({ format: 'jwk' }),
      alg,
      use: 'sig',
      kid: kid(alg),
    })),
  };
  return {
    issuer: iss,
    audience,
    jwks,
    options: { issuer: iss, audience, jwks },
    kid,
    privateKey,
    publicKey,
    sign(claims = {}, header = {}) {
      const alg = (header['alg'] ?? algorithms[0]) as Algorithm;
      const usual = { iss, aud: audience, sub: 'alice', role: 'reader', iat: now(), exp: now() + 300 };
      return forge(
        { alg, kid: kid(alg), typ: 'JWT', ...header },
        { ...usual, ...claims },
        alg,
        privateKey(alg),
      );
    },
  };
}

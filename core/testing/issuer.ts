/** An issuer of tokens for tests: a key that is made at the start, and tokens of any claims. */
import { generateKeyPairSync, randomUUID, sign } from 'node:crypto';

/** Claims by their names. Default: `sub` is `alice`, the token is good for five minutes; undefined leaves a claim out. */
export type TestClaims = Readonly<Record<string, unknown>>;

/** Signs tokens, and publishes the key that verifies them. */
export interface TestIssuer {
  /** An entry of `issuers` of the plugin `jwt`. */
  readonly options: {
    readonly issuer: string;
    readonly audience: string;
    readonly jwks: { readonly keys: readonly object[] };
  };
  /** A signed token (RFC 7519, RFC 8037). */
  token(claims?: TestClaims): string;
}

const ISSUER = 'https://issuer.test';
const AUDIENCE = 'postern';
const LIFETIME_S = 300;

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Makes an issuer with an Ed25519 key of its own. */
export function testIssuer(): TestIssuer {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const kid = randomUUID();
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'EdDSA', use: 'sig' };
  return {
    options: { issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [jwk] } },
    token(claims = {}) {
      const now = Math.floor(Date.now() / 1_000);
      const usual = { iss: ISSUER, aud: AUDIENCE, sub: 'alice', iat: now, exp: now + LIFETIME_S };
      const signed = `${encode({ alg: 'EdDSA', typ: 'JWT', kid })}.${encode({ ...usual, ...claims })}`;
      return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
    },
  };
}

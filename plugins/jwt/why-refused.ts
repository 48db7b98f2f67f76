/** What jose says of a token, in words that let an operator mend it. */
import { errors } from 'jose';
import { shown, shownChoice } from '../../core/index.ts';
import { ahead } from './claims.ts';
import type { Algorithm } from './options.ts';
import type { IssuerPolicy } from './policy.ts';

/** Bytes of a signature (RFC 7518 §3.4, RFC 8032 §5.1.6). */
const SIGNATURE_BYTES: Partial<Readonly<Record<Algorithm, readonly number[]>>> = {
  ES256: [64],
  ES384: [96],
  ES512: [132],
  EdDSA: [64],
  Ed25519: [64],
};
/** Those of RSA keys with 2048, 3072, 4096 and 8192 bits. */
const RSA_BYTES: readonly number[] = [256, 384, 512, 1_024];

function whyClaim({ claim, reason, payload }: errors.JWTClaimValidationFailed, policy: IssuerPolicy): string {
  const value = payload[claim];
  if (reason === 'missing') return `${claim} is absent`;
  if (reason === 'invalid') return `${claim} is ${shown(value)}, a number of seconds is needed`;
  if (claim === 'aud') return `aud is ${shown(value)}, wanted ${shownChoice(policy.audience)}`;
  if (claim === 'nbf' && typeof value === 'number') return ahead('nbf', value, policy, Date.now() / 1_000);
  return `${claim} is ${shown(value)}`;
}

/** Of the payload that jose's errors carry only what is wrong goes on, cut to a length. */
export function whyRefused(error: unknown, policy: IssuerPolicy): string {
  if (error instanceof errors.JWTExpired) {
    const { exp = Number.NaN } = error.payload;
    // Date prints no more than this (ECMA-262, 21.4.1.1).
    return Math.abs(exp) <= 8.64e12 ? `expired at ${new Date(exp * 1_000).toISOString()}` : 'expired';
  }
  if (error instanceof errors.JWTClaimValidationFailed) return whyClaim(error, policy);
  return error instanceof errors.JOSEError ? error.code : 'could not be verified';
}

/** No key has signed it; a text that was cut has a signature of another length. */
export function wrongSignature(token: string, alg: Algorithm): string {
  const why = 'wrong signature: no key of the issuer has signed it';
  const { length } = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url');
  const usual = SIGNATURE_BYTES[alg] ?? RSA_BYTES;
  return usual.includes(length) ? why : `${why}; it has ${length} bytes: is the token cut?`;
}

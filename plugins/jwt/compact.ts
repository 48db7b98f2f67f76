/** The compact serialization of a signed token (RFC 7515 §7.1), taken apart without trusting a byte of it. */
import { parseBounded } from './bounded-json.ts';
import { TokenRefused } from './refusal.ts';

/** Longest header in bytes: some issuers put a certificate chain there, which is ignored. */
const MAX_HEADER_BYTES = 8_192;
const MAX_HEADER_DEPTH = 8;
const MAX_CLAIMS_DEPTH = 32;

/** Header and claims as they stand in the token: unverified. */
export interface CompactToken {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Decodes base64url. Only its one canonical spelling passes: no part has a second text with the same bytes. */
function decode(part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url');
  if (part === '' || bytes.toString('base64url') !== part) throw new TokenRefused('not base64url');
  return bytes;
}

/**
 * Splits a token and reads its two JSON parts.
 * @throws TokenRefused if it is encrypted, not three base64url parts, or not two JSON objects
 */
export function parseCompact(token: string): CompactToken {
  const parts = token.split('.', 6);
  if (parts.length === 5) throw new TokenRefused('an encrypted token (JWE)');
  const [header, claims, signature] = parts;
  if (parts.length !== 3 || header === undefined || claims === undefined || signature === undefined) {
    throw new TokenRefused('not a signed token: three parts are needed');
  }
  const headerBytes = decode(header);
  if (headerBytes.length > MAX_HEADER_BYTES) throw new TokenRefused('header too long');
  decode(signature);
  return {
    header: parseBounded(headerBytes, MAX_HEADER_DEPTH),
    claims: parseBounded(decode(claims), MAX_CLAIMS_DEPTH),
  };
}

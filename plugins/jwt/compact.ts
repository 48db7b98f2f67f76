/** The compact serialization of a signed token (RFC 7515 §7.1), taken apart without trusting a byte of it. */
import { parseBounded } from './bounded-json.ts';
import { misshapen } from './misshapen.ts';
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

type Part = 'header' | 'claims' | 'signature';

/** Decodes base64url. Only its one canonical spelling passes: no part has a second text with the same bytes. */
function decode(name: Part, part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url');
  if (part === '') throw new TokenRefused(`${name}: there is none`);
  if (bytes.toString('base64url') !== part) throw new TokenRefused(`${name}: not base64url: cut, or changed`);
  return bytes;
}

function parse(name: Part, bytes: Buffer, maxDepth: number): Readonly<Record<string, unknown>> {
  try {
    return parseBounded(bytes, maxDepth);
  } catch (error) {
    throw error instanceof TokenRefused ? new TokenRefused(`${name}: ${error.message}`) : error;
  }
}

/**
 * Splits a token and reads its two JSON parts.
 * @throws TokenRefused if it is encrypted, not three base64url parts, or not two JSON objects
 */
export function parseCompact(token: string): CompactToken {
  const why = misshapen(token);
  if (why !== undefined) throw new TokenRefused(why);
  const parts = token.split('.', 6);
  if (parts.length === 5) throw new TokenRefused('an encrypted token (JWE): only signed ones are read');
  const [header, claims, signature] = parts;
  if (parts.length !== 3 || header === undefined || claims === undefined || signature === undefined) {
    const many = parts.length > 5 ? 'more' : parts.length;
    throw new TokenRefused(`not a signed token: three parts with dots between are needed, this has ${many}`);
  }
  const headerBytes = decode('header', header);
  if (headerBytes.length > MAX_HEADER_BYTES) {
    throw new TokenRefused(`header: ${headerBytes.length} bytes long, ${MAX_HEADER_BYTES} allowed`);
  }
  decode('signature', signature);
  return {
    header: parse('header', headerBytes, MAX_HEADER_DEPTH),
    claims: parse('claims', decode('claims', claims), MAX_CLAIMS_DEPTH),
  };
}

/** What a server keeps of a password for SCRAM-SHA-256, in the form of PostgreSQL's `pg_authid.rolpassword`. */
import { randomBytes } from 'node:crypto';
import type { ScramVerifier } from '../contract/scram.ts';
import { saslprep } from './saslprep.ts';
import { deriveKeys, hmac } from './scram-keys.ts';

/**
 * PostgreSQL's default of `scram_iterations`.
 *
 * @example const iterations = DEFAULT_ITERATIONS; // 4096
 */
export const DEFAULT_ITERATIONS = 4_096;
/** SCRAM_DEFAULT_SALT_LEN of `scram-common.h`, in bytes. */
const SALT = 16;
/** Longest salt that is read, in bytes: libpq reads authentication requests of at most 2000 with everything else in them. */
const MAX_SALT = 256;
/** PostgreSQL's counter is an `int`. */
const MAX_ITERATIONS = 2_147_483_647;

/** `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, the last three in base64. */
const FORM =
  /^SCRAM-SHA-256\$([0-9]{1,10}):((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)\$([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{43}=)$/;

/**
 * Reads a verifier as PostgreSQL stores it (`parse_scram_secret`); undefined for any other text.
 *
 * @example const verifier = parseScramVerifier(word);
 */
export function parseScramVerifier(text: string): ScramVerifier | undefined {
  const [, count, salt = '', stored = '', server = ''] = FORM.exec(text) ?? [];
  const iterations = Number(count);
  const bytes = Buffer.from(salt, 'base64');
  if (count === undefined || iterations < 1 || iterations > MAX_ITERATIONS) return undefined;
  if (bytes.length === 0 || bytes.length > MAX_SALT) return undefined;
  const [storedKey, serverKey] = [Buffer.from(stored, 'base64'), Buffer.from(server, 'base64')];
  return { iterations, salt: bytes, storedKey, serverKey };
}

/**
 * Makes the verifier of a password, as PostgreSQL does (`pg_be_scram_build_secret`). Takes milliseconds of another thread.
 *
 * @example const verifier = await makeScramVerifier(password);
 */
export async function makeScramVerifier(
  password: string,
  iterations = DEFAULT_ITERATIONS,
  salt: Uint8Array = randomBytes(SALT),
): Promise<ScramVerifier> {
  const { clientKey, storedKey, serverKey } = await deriveKeys(saslprep(password), salt, iterations);
  // With it anybody logs in where the verifier is the same.
  clientKey.fill(0);
  return { iterations, salt, storedKey, serverKey };
}

/**
 * One that no password has, for a user there is not: the same each time, so that the user looks like any other.
 *
 * @param secret the gateway's own: with it the salt is recognised
 * @example const verifier = mockScramVerifier(Buffer.from(secret), 'nobody', DEFAULT_ITERATIONS);
 */
export function mockScramVerifier(secret: Uint8Array, user: string, iterations: number): ScramVerifier {
  const [salt, storedKey, serverKey] = ['salt', 'StoredKey', 'ServerKey'].map((part) =>
    hmac(secret, `${part} ${user}`),
  ) as [Buffer, Buffer, Buffer];
  return { iterations, salt: salt.subarray(0, SALT), storedKey, serverKey };
}

/** The keys of SCRAM-SHA-256, derived once per password and salt: the derivation is meant to be slow. */
import { createHash, createHmac, pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);

/** Keys of one password under one salt and iteration count (RFC 5802, section 3). */
export interface ScramKeys {
  readonly clientKey: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

/** Entries kept at most; the one used longest ago goes first. */
const CAPACITY = 1_000;

// Promises, so that logins that arrive together derive once.
const cache = new Map<string, Promise<ScramKeys>>();

/** HMAC-SHA-256. */
export function hmac(key: Uint8Array, data: string | Uint8Array): Buffer {
  return createHmac('sha256', key).update(data).digest();
}

/** Keys for an already prepared password, from the process-wide cache or derived on libuv's threads. */
export function scramKeys(password: string, salt: Buffer, iterations: number): Promise<ScramKeys> {
  const key = createHash('sha256')
    .update(`${iterations},${salt.toString('base64')},${password}`)
    .digest('base64');
  const known = cache.get(key);
  const keys = known ?? deriveKeys(password, salt, iterations);
  if (!known) keys.catch(() => cache.delete(key));
  cache.delete(key);
  cache.set(key, keys);
  const [oldest] = cache.keys();
  if (cache.size > CAPACITY && oldest !== undefined) cache.delete(oldest);
  return keys;
}

/** Keys for an already prepared password, derived on libuv's threads and not kept. */
export async function deriveKeys(password: string, salt: Uint8Array, iterations: number): Promise<ScramKeys> {
  const salted = await derive(password, salt, iterations, 32, 'sha256');
  const clientKey = hmac(salted, 'Client Key');
  const storedKey = createHash('sha256').update(clientKey).digest();
  return { clientKey, storedKey, serverKey: hmac(salted, 'Server Key') };
}

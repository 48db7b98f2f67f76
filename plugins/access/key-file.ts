/** The private keys on disk, in a file that nobody but the gateway's user can read or has written. */
import { createPrivateKey, randomBytes } from 'node:crypto';
import type { JsonWebKey } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { SigningKey } from './key-ring.ts';

const OTHERS = 0o077;
const MAX_BYTES = 1_000_000;

/** One key as it is written, and as workers share it. */
export interface WrittenKey {
  readonly kid: string;
  readonly from: number;
  readonly key: JsonWebKey;
}

/** The key that was written. @throws Error */
export function readKey({ kid, from, key }: WrittenKey): SigningKey {
  if (typeof kid !== 'string' || !Number.isFinite(from)) throw new Error('a key without kid or from');
  return { kid, from, privateKey: createPrivateKey({ key, format: 'jwk' }) };
}

/** Private: for the file, and for the other workers of this machine. */
export function writeKey({ kid, from, privateKey }: SigningKey): WrittenKey {
  return { kid, from, key: privateKey.export({ format: 'jwk' }) };
}

async function textOf(file: string): Promise<string | undefined> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!handle) return undefined;
  try {
    const { mode, uid, size } = await handle.stat();
    const me = process.getuid?.();
    if (me !== undefined && (uid !== me || (mode & OTHERS) !== 0)) {
      throw new Error('it has to be ours, and for nobody else to read or write (chmod 600)');
    }
    if (size > MAX_BYTES) throw new Error(`it is longer than ${MAX_BYTES} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** The keys of the last run; none where there is no such file. @throws Error that says why it cannot be used */
export async function readKeys(file: string): Promise<readonly SigningKey[]> {
  const text = await textOf(file);
  if (text === undefined) return [];
  try {
    return (JSON.parse(text) as { readonly keys: readonly WrittenKey[] }).keys.map(readKey);
  } catch {
    // What the parsers say may quote the file.
    throw new Error('it has no keys of ours');
  }
}

async function synced(file: string, flags: string, text?: string): Promise<void> {
  const handle = await open(file, flags, 0o600);
  try {
    if (text !== undefined) await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Puts them into a file of mode 0600, all at once, and makes its folder where there is none; on disk when it resolves. */
export async function writeKeys(file: string, keys: readonly SigningKey[]): Promise<void> {
  const written = keys.map(writeKey);
  const beside = `${file}.${randomBytes(6).toString('hex')}.new`;
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  try {
    await synced(beside, 'wx', JSON.stringify({ keys: written }));
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  await synced(path.dirname(file), 'r');
}

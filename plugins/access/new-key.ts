/** `postern access key`: makes an API key. */
import { createHash, randomBytes } from 'node:crypto';

/** Prints a new key, once, and its hash for the config. Resolves the exit code. */
export function printNewKey(): number {
  const key = `postern_${randomBytes(32).toString('base64url')}`;
  const sha256 = createHash('sha256').update(key).digest('hex');
  process.stdout.write(`key:    ${key}\nsha256: ${sha256}\n`);
  process.stderr.write('Give the key to whoever asks with it, and the sha256 to the config.\n');
  return 0;
}

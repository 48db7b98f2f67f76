/** What the secret of a fleet does: texts in the store are sealed with it, names are hashed with it. */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

/** Made from `fleet.secret`: those that have the same secret read each other. */
export interface FleetSecret {
  /** Encrypts a text. Two seals of one text differ. */
  seal(text: string): string;
  /** The text that was sealed; undefined where it was not sealed with this secret. */
  open(sealed: string): string | undefined;
  /** 22 characters; the same for the same text. */
  hash(text: string): string;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** From the text of the secret. */
export function fleetSecret(secret: string): FleetSecret {
  const key = (use: string): Buffer => Buffer.from(hkdfSync('sha256', secret, 'postern', use, 32));
  const sealing = key('seal');
  const hashing = key('hash');
  return {
    seal(text) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', sealing, nonce);
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url');
    },
    open(sealed) {
      const bytes = Buffer.from(sealed, 'base64url');
      if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
      const cipher = createDecipheriv('aes-256-gcm', sealing, bytes.subarray(0, NONCE_BYTES));
      cipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      try {
        return (
          cipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + cipher.final('utf8')
        );
      } catch {
        return undefined;
      }
    },
    hash: (text) => createHmac('sha256', hashing).update(text).digest('base64url').slice(0, 22),
  };
}

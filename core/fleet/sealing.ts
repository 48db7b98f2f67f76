/** What the store may know: texts are sealed and names are hashed, both with the fleet's secret, so that whoever reads the store learns no value or name, and whoever changes it forges none: to delete or to put back an earlier one is not prevented. */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

/** The form of sealed texts; a later release may have another, which this one does not open. */
const FORM = 1;
const CIPHER = 'aes-256-gcm';
/** Bytes. A text has a key of its own, chosen by the salt: with one key for all, random nonces would repeat after some 2^32 texts, which a large fleet writes within weeks. */
const [SALT, NONCE, TAG] = [16, 12, 16];
const HEAD = 1 + SALT + NONCE;
/** Of a hash: 128 bits, 22 characters. */
const HASH = 16;

/** Seals and hashes with keys that are made of the secret of one fleet. `context` says what a text is for: it is good for nothing else. */
export interface Sealing {
  /** A text that only those with the secret can read, and that nobody else can make. */
  seal(text: string, context: string): string;
  /** What was sealed; undefined where it was not, with this secret and for this context. */
  open(sealed: string, context: string): string | undefined;
  /** 22 characters, equal for equal texts of one context, that say nothing of the text to those without the secret. */
  hash(text: string, context: string): string;
}

/**
 * Makes the keys of a fleet out of its secret.
 *
 * @param fleet its name: fleets with one secret do not read each other
 */
export function sealingOf(secret: string, fleet: string): Sealing {
  const keyFor = (use: string): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, '', `postern fleet ${use} ${fleet}`, 32));
  const [sealKey, hashKey] = [keyFor('seal'), keyFor('hash')];
  const keyOf = (salt: Buffer): Buffer => createHmac('sha256', sealKey).update(salt).digest();

  return {
    seal(text, context) {
      const head = Buffer.concat([Buffer.of(FORM), randomBytes(SALT + NONCE)]);
      const cipher = createCipheriv(CIPHER, keyOf(saltOf(head)), nonceOf(head));
      cipher.setAAD(Buffer.from(context));
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return Buffer.concat([head, body, cipher.getAuthTag()]).toString('base64url');
    },
    open(sealed, context) {
      const bytes = Buffer.from(sealed, 'base64url');
      if (bytes[0] !== FORM || bytes.length < HEAD + TAG) return undefined;
      const decipher = createDecipheriv(CIPHER, keyOf(saltOf(bytes)), nonceOf(bytes), { authTagLength: TAG });
      decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-TAG));
      const text = decipher.update(bytes.subarray(HEAD, -TAG));
      try {
        return Buffer.concat([text, decipher.final()]).toString('utf8');
      } catch {
        return undefined;
      }
    },
    hash(text, context) {
      // The length keeps contexts and texts apart that are the same one after the other.
      const hash = createHmac('sha256', hashKey).update(`${context.length}:${context}:${text}`).digest();
      return hash.toString('base64url', 0, HASH);
    },
  };
}

const saltOf = (bytes: Buffer): Buffer => bytes.subarray(1, 1 + SALT);
const nonceOf = (bytes: Buffer): Buffer => bytes.subarray(1 + SALT, HEAD);

/** The demo's identity provider: one Ed25519 key, its key set as a file, and tokens. */
import { generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';

/** Who the demo's tokens are from and for; `gateway.config.ts` expects the same. */
export const ISSUER = 'https://demo.postern.example';
const AUDIENCE = 'postern';
const KEY_ID = 'demo';

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Signs tokens; the private key never leaves the process. */
export class Issuer {
  readonly #privateKey: KeyObject;
  readonly #publicKey: KeyObject;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    this.#privateKey = privateKey;
    this.#publicKey = publicKey;
  }

  /** Writes the key set (RFC 7517) that verifies this issuer's tokens. */
  writeKeySet(path: string): void {
    const key = { ...this.#publicKey.export({ format: 'jwk' }), kid: KEY_ID, alg: 'EdDSA', use: 'sig' };
    writeFileSync(path, JSON.stringify({ keys: [key] }));
  }

  /** A signed JWT (RFC 7519, RFC 8037) for `subject`, with the claim `role`, valid for so many seconds. */
  token(subject: string, role: string, seconds: number): string {
    const now = Math.floor(Date.now() / 1000);
    const header = { alg: 'EdDSA', typ: 'JWT', kid: KEY_ID };
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: subject, role, iat: now, exp: now + seconds };
    const signed = `${encode(header)}.${encode(claims)}`;
    return `${signed}.${sign(null, Buffer.from(signed), this.#privateKey).toString('base64url')}`;
  }
}

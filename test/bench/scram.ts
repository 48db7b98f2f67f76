/** The client's half of SCRAM-SHA-256, as dear as in other drivers: it remembers nothing from one login to the next. */
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);
const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** One login; the server is not asked to prove itself (RFC 5802, section 3). */
export class Scram {
  readonly #bare = `n=,r=${randomBytes(18).toString('base64')}`;

  /** The body of SASLInitialResponse (manual, 55.7). */
  first(): Buffer {
    const text = `n,,${this.#bare}`;
    const head = Buffer.from('SCRAM-SHA-256\0\0\0\0\0');
    head.writeUInt32BE(text.length, head.length - 4);
    return Buffer.concat([head, Buffer.from(text)]);
  }

  /** The body of SASLResponse, from the data of AuthenticationSASLContinue. */
  async final(password: string, serverFirst: string): Promise<string> {
    const [, nonce = '', salt = '', rounds = ''] = /^r=(.*),s=(.*),i=(\d+)$/.exec(serverFirst) ?? [];
    const salted = await derive(password, Buffer.from(salt, 'base64'), Number(rounds), 32, 'sha256');
    const key = hmac(salted, 'Client Key');
    const stored = createHash('sha256').update(key).digest();
    const unproven = `c=biws,r=${nonce}`;
    const mask = hmac(stored, `${this.#bare},${serverFirst},${unproven}`);
    const proof = Buffer.from(key.map((byte, i) => byte ^ (mask[i] ?? 0)));
    return `${unproven},p=${proof.toString('base64')}`;
  }
}

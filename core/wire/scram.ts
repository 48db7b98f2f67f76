/** The client side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), as PostgreSQL speaks it. */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { GatewayError } from '../contract/errors.ts';
import { saslprep } from './saslprep.ts';
import { hmac, scramKeys } from './scram-keys.ts';

/** The mechanisms this client knows. */
export type ScramMechanism = 'SCRAM-SHA-256' | 'SCRAM-SHA-256-PLUS';

/** What a {@link ScramClient} needs. */
export interface ScramOptions {
  readonly password: string;
  /** Mechanisms out of AuthenticationSASL. */
  readonly offered: readonly string[];
  /** What `serverEndPoint` made of the server's certificate. Default: no channel binding. */
  readonly channelBinding?: Buffer | undefined;
  /** Default empty, as in libpq: PostgreSQL takes the user of the StartupMessage. */
  readonly user?: string;
  /** Printable ASCII without comma. Default: 18 random bytes in base64. Only test vectors set it. */
  readonly nonce?: string;
}

/** Fewest iterations accepted (RFC 7677, section 4, and PostgreSQL's default): fewer would sell the password cheaply. */
export const MIN_ITERATIONS = 4_096;
/** Most iterations accepted: about a third of a second of one core. A server could ask for 2³¹ (CVE-2026-6665's class). */
export const MAX_ITERATIONS = 1_000_000;
/** Longest server message in bytes, as libpq has it for authentication requests. */
const MAX_MESSAGE = 2_000;
/** Longest combined nonce in characters; PostgreSQL's has 48. */
const MAX_NONCE = 512;
/** Longest salt in bytes; PostgreSQL's has 16. */
const MAX_SALT = 256;

const BASE64 = '(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?';
/** server-first-message (RFC 5802, section 7). Extensions behind are ignored, mandatory ones (`m=`) do not match. */
const SERVER_FIRST = new RegExp(
  `^r=([\\x21-\\x2b\\x2d-\\x7e]+),s=(${BASE64}),i=([1-9][0-9]{0,9})(?:,[\\x20-\\x7e]*)?$`,
);
/** server-final-message with a verifier. */
const SERVER_FINAL = new RegExp(`^v=(${BASE64})(?:,[\\x20-\\x7e]*)?$`);

/**
 * One login: `clientFirst`, `continue`, `finish`, in this order. Skipping `finish` would trust a server that does not
 * know the password. Errors never carry the password, the nonces or the proof.
 */
export class ScramClient {
  /** To be named in SASLInitialResponse. */
  readonly mechanism: ScramMechanism;
  readonly #password: string;
  readonly #nonce: string;
  readonly #bare: string;
  readonly #gs2: string;
  readonly #binding: Buffer | undefined;
  #signature: Buffer | undefined;

  /** @throws GatewayError `feature_not_supported` if the server offers neither mechanism */
  constructor({ password, offered, channelBinding, user = '', nonce = newNonce() }: ScramOptions) {
    const plus = channelBinding !== undefined && offered.includes('SCRAM-SHA-256-PLUS');
    this.mechanism = plus ? 'SCRAM-SHA-256-PLUS' : 'SCRAM-SHA-256';
    if (!offered.includes(this.mechanism)) {
      throw new GatewayError('feature_not_supported', 'the server offers no SCRAM-SHA-256');
    }
    this.#password = saslprep(password);
    this.#nonce = nonce;
    this.#bare = `n=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
    // "y" says that we could have bound: a server that offered PLUS sees that somebody took it out on the way.
    this.#gs2 = plus ? 'p=tls-server-end-point,,' : channelBinding ? 'y,,' : 'n,,';
    this.#binding = plus ? channelBinding : undefined;
  }

  /** client-first-message, for SASLInitialResponse. */
  clientFirst(): Buffer {
    return Buffer.from(this.#gs2 + this.#bare);
  }

  /**
   * client-final-message, from the data of AuthenticationSASLContinue.
   * @throws GatewayError `protocol_violation` if that is malformed, foreign to our nonce, or out of bounds
   */
  async continue(serverFirst: Buffer): Promise<Buffer> {
    const text = messageText(serverFirst);
    const { nonce, salt, iterations } = parseServerFirst(text);
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) {
      throw broken('the nonce does not continue ours');
    }
    const binding = Buffer.concat([Buffer.from(this.#gs2), this.#binding ?? Buffer.alloc(0)]);
    const final = `c=${binding.toString('base64')},r=${nonce}`;
    const authMessage = `${this.#bare},${text},${final}`;
    const keys = await scramKeys(this.#password, salt, iterations);
    this.#signature = hmac(keys.serverKey, authMessage);
    const proof = xor(keys.clientKey, hmac(keys.storedKey, authMessage));
    return Buffer.from(`${final},p=${proof.toString('base64')}`);
  }

  /**
   * Checks the data of AuthenticationSASLFinal.
   * @throws GatewayError `protocol_violation` unless they prove that the server knows the password
   */
  finish(serverFinal: Buffer): void {
    const [, verifier] = SERVER_FINAL.exec(messageText(serverFinal)) ?? [];
    if (verifier === undefined) throw broken('no verifier in its last message');
    const signature = Buffer.from(verifier, 'base64');
    const expected = this.#signature;
    if (!expected || signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
      throw broken('wrong signature: the server does not know the password');
    }
  }
}

function newNonce(): string {
  return randomBytes(18).toString('base64');
}

function broken(why: string): GatewayError {
  return new GatewayError('protocol_violation', `SCRAM with the server failed: ${why}`);
}

/** Latin-1, so that every byte counts as itself; the grammars then take ASCII only. */
function messageText(message: Buffer): string {
  if (message.length > MAX_MESSAGE) throw broken('message too long');
  return message.toString('latin1');
}

function parseServerFirst(text: string): { nonce: string; salt: Buffer; iterations: number } {
  const [, nonce = '', saltText = '', count] = SERVER_FIRST.exec(text) ?? [];
  if (count === undefined) throw broken('malformed first message');
  if (nonce.length > MAX_NONCE) throw broken('nonce too long');
  const salt = Buffer.from(saltText, 'base64');
  if (salt.length === 0 || salt.length > MAX_SALT) throw broken('salt of impossible length');
  const iterations = Number(count);
  if (iterations < MIN_ITERATIONS || iterations > MAX_ITERATIONS) {
    throw broken(`${iterations} iterations, accepted are ${MIN_ITERATIONS} to ${MAX_ITERATIONS}`);
  }
  return { nonce, salt, iterations };
}

function xor(left: Buffer, right: Buffer): Buffer {
  return Buffer.from(left.map((byte, i) => byte ^ (right[i] ?? 0)));
}

/** The server side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), as PostgreSQL speaks it: pure, from one message to the next. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ScramVerifier } from '../contract/scram.ts';
import { GatewayError } from '../contract/errors.ts';
import { hmac } from './scram-keys.ts';
import { parseClientFinal, parseClientFirst } from './scram-responses.ts';
import type { ClientFirst } from './scram-responses.ts';
import type { ScramMechanism } from './scram.ts';

/** Longest message of a client as its length word counts it: PG_MAX_SASL_MESSAGE_LENGTH of `sasl.h`. It bounds the nonce. */
export const LONGEST_SCRAM_MESSAGE = 1_024;

/** SCRAM_RAW_NONCE_LEN of `scram-common.h`, in bytes. */
const NONCE = 18;

/** What a {@link ScramServer} needs. */
export interface ScramServerOptions {
  /** What the client has chosen. */
  readonly mechanism: ScramMechanism;
  /** What `serverEndPoint` made of our certificate. Default: PLUS was not offered. */
  readonly endPoint?: Buffer | undefined;
  /** Printable ASCII without comma. Default: 18 random bytes in base64. Only test vectors set it. */
  readonly nonce?: string;
}

/** The mechanisms to offer, the best first, as PostgreSQL does. */
export function scramMechanisms(endPoint: Buffer | undefined): readonly ScramMechanism[] {
  return endPoint ? ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] : ['SCRAM-SHA-256'];
}

/** What has been said when the last message is awaited. */
interface Challenge {
  readonly nonce: string;
  readonly text: string;
  readonly verifier: ScramVerifier;
  /** No password is right. */
  readonly mock: boolean;
}

/**
 * One login: `first`, `challenge`, `final`, in this order. A proof that is right gives whoever verifies it the ClientKey, with
 * which anybody can log in where the verifier is the same: it is zeroed at once. Errors never carry the proof, a nonce or a key.
 */
export class ScramServer {
  readonly #plus: boolean;
  readonly #endPoint: Buffer | undefined;
  readonly #nonce: string;
  #first: ClientFirst | undefined;
  #challenge: Challenge | undefined;

  constructor({ mechanism, endPoint, nonce = randomBytes(NONCE).toString('base64') }: ScramServerOptions) {
    this.#plus = mechanism === 'SCRAM-SHA-256-PLUS';
    this.#endPoint = endPoint;
    this.#nonce = nonce;
  }

  /** Reads client-first-message. @throws GatewayError as `parseClientFirst` does, and for one that is too long */
  first(message: Buffer): void {
    if (this.#first) throw new Error('SCRAM: the first message has been read');
    const plusOffered = this.#endPoint !== undefined;
    this.#first = parseClientFirst(bounded(message), { plus: this.#plus, plusOffered });
  }

  /**
   * server-first-message.
   * @param mock no password has this verifier: everything goes on as with another, and `final` is false
   */
  challenge(verifier: ScramVerifier, mock = false): Buffer {
    if (!this.#first || this.#challenge) throw new Error('SCRAM: the first message comes first, and once');
    const nonce = this.#first.nonce + this.#nonce;
    const text = `r=${nonce},s=${base64(verifier.salt)},i=${verifier.iterations}`;
    this.#challenge = { nonce, text, verifier, mock };
    return Buffer.from(text, 'latin1');
  }

  /**
   * Reads client-final-message.
   * @returns server-final-message, which shows the client that we know its verifier; undefined if its proof is wrong
   * @throws GatewayError as `parseClientFinal` does, `protocol_violation` for one that is too long or has another nonce
   */
  final(message: Buffer): Buffer | undefined {
    const [first, challenge] = [this.#first, this.#challenge];
    if (!first || !challenge) throw new Error('SCRAM: no challenge has been sent');
    this.#challenge = undefined;
    const { nonce, withoutProof, proof } = this.#read(bounded(message), first);
    try {
      if (nonce !== challenge.nonce) throw mismatch();
      const { verifier, mock } = challenge;
      const said = Buffer.from(`${first.bare},${challenge.text},${withoutProof}`, 'latin1');
      // In this order: the time must not tell a mock.
      const proven = proves(proof, verifier.storedKey, said);
      if (!proven || mock) return undefined;
      return Buffer.from(`v=${hmac(verifier.serverKey, said).toString('base64')}`, 'latin1');
    } finally {
      proof.fill(0);
    }
  }

  #read(message: Buffer, { header }: ClientFirst): ReturnType<typeof parseClientFinal> {
    const bound = this.#plus ? this.#endPoint : undefined;
    const input = Buffer.concat([Buffer.from(header, 'latin1'), bound ?? Buffer.alloc(0)]);
    return parseClientFinal(message, input.toString('base64'), this.#plus);
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** Whether the proof is that of the key whose hash is known. */
function proves(proof: Buffer, storedKey: Uint8Array, said: Buffer): boolean {
  const signature = hmac(storedKey, said);
  const clientKey = Buffer.from(proof.map((byte, at) => byte ^ (signature[at] ?? 0)));
  const hash = createHash('sha256').update(clientKey).digest();
  clientKey.fill(0);
  return timingSafeEqual(hash, storedKey);
}

function bounded(message: Buffer): Buffer {
  if (message.length <= LONGEST_SCRAM_MESSAGE) return message;
  throw new GatewayError('protocol_violation', 'invalid message length');
}

function mismatch(): GatewayError {
  return new GatewayError('protocol_violation', 'invalid SCRAM response', {
    detail: 'Nonce does not match.',
  });
}

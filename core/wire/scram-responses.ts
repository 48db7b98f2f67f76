/** The two responses of a client in SCRAM-SHA-256(-PLUS) (RFC 5802 §7), as PostgreSQL reads them (`auth-scram.c`). */
import { GatewayError } from '../contract/errors.ts';
import { shownCharacter } from './text.ts';

/** The one way to bind that PostgreSQL knows (RFC 5929 §4). */
const END_POINT = 'tls-server-end-point';
/** Characters of a foreign text that are repeated in a message, as in `sanitize_str`. */
const SHOWN = 30;

/** How the client binds its login to the connection: not, it could but was not offered it, or it does (RFC 5802 §6). */
export type BindingFlag = 'n' | 'y' | 'p';

/** The first message of a client, client-first-message. Texts are Latin-1: each byte counts as itself. */
export interface ClientFirst {
  readonly flag: BindingFlag;
  /** gs2-header, which the last message repeats. */
  readonly header: string;
  /** client-first-message-bare. */
  readonly bare: string;
  /** Printable ASCII without comma; PostgreSQL lets it be empty. */
  readonly nonce: string;
}

/** What has been offered to the client whose message is read. */
export interface Offered {
  /** The client has chosen SCRAM-SHA-256-PLUS. */
  readonly plus: boolean;
  /** It could have. */
  readonly plusOffered: boolean;
}

/** The last message of a client, client-final-message. */
export interface ClientFinal {
  readonly nonce: string;
  /** client-final-message-without-proof. */
  readonly withoutProof: string;
  /** 32 bytes; for the reader to zero. */
  readonly proof: Buffer;
}

/**
 * Reads client-first-message. The user name in it is ignored, as PostgreSQL does: that of the startup packet counts.
 * @throws GatewayError in PostgreSQL's words: `protocol_violation`, `feature_not_supported` for an authorization identity or a mandatory
 * extension, `invalid_authorization_specification` where somebody took the offer of PLUS out on the way
 */
export function parseClientFirst(message: Buffer, offered: Offered): ClientFirst {
  const text = textOf(message);
  const attributes = new Attributes(text);
  const flag = readFlag(attributes, offered);
  if (attributes.peek() === 'a') {
    throw new GatewayError(
      'feature_not_supported',
      'client uses authorization identity, but it is not supported',
    );
  }
  if (attributes.peek() !== ',')
    throw malformed(`Unexpected attribute "${attributes.shown}" in client-first-message.`);
  attributes.skip();
  const bare = text.slice(attributes.at);
  if (attributes.peek() === 'm')
    throw new GatewayError('feature_not_supported', 'client requires an unsupported SCRAM extension');
  attributes.value('n');
  const nonce = attributes.value('r');
  if (!/^[\x21-\x2b\x2d-\x7e]*$/.test(nonce))
    throw new GatewayError('protocol_violation', 'non-printable characters in SCRAM nonce');
  while (!attributes.done) attributes.any();
  return { flag, header: text.slice(0, text.length - bare.length), bare, nonce };
}

/**
 * Reads client-final-message.
 * @param binding base64 of the gs2-header of the first message and what it is bound to
 * @param bound that is a certificate
 * @throws GatewayError in PostgreSQL's words: `protocol_violation`, `invalid_authorization_specification` for another certificate
 */
export function parseClientFinal(message: Buffer, binding: string, bound: boolean): ClientFinal {
  const text = textOf(message);
  const attributes = new Attributes(text);
  if (attributes.value('c') !== binding) throw wrongBinding(bound);
  const nonce = attributes.value('r');
  for (;;) {
    // In front of the comma.
    const end = attributes.at - 1;
    const { name, value } = attributes.any();
    if (name !== 'p') continue;
    const proof = proofOf(value);
    if (!attributes.done) throw malformed('Garbage found at the end of client-final-message.');
    return { nonce, withoutProof: text.slice(0, end), proof };
  }
}

function textOf(message: Buffer): string {
  if (message.length === 0) throw malformed('The message is empty.');
  if (message.includes(0)) throw malformed('Message length does not match input length.');
  return message.toString('latin1');
}

function readFlag(attributes: Attributes, { plus, plusOffered }: Offered): BindingFlag {
  const flag = attributes.peek();
  if (flag === 'p') {
    if (!plus) {
      throw malformed(
        'The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.',
      );
    }
    const type = attributes.value('p');
    if (type === END_POINT) return flag;
    const shown = type.slice(0, SHOWN).replace(/[^\x21-\x7e]/g, '?');
    throw new GatewayError('protocol_violation', `unsupported SCRAM channel-binding type "${shown}"`);
  }
  if (flag !== 'n' && flag !== 'y') throw malformed(`Unexpected channel-binding flag "${attributes.shown}".`);
  if (plus) {
    throw malformed(
      'The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.',
    );
  }
  if (flag === 'y' && plusOffered) throw downgraded();
  attributes.skip();
  if (attributes.peek() !== ',')
    throw malformed(`Comma expected, but found character "${attributes.shown}".`);
  attributes.skip();
  return flag;
}

function proofOf(value: string): Buffer {
  if (/^[A-Za-z0-9+/]{43}=$/.test(value)) return Buffer.from(value, 'base64');
  throw malformed('Malformed proof in client-final-message.');
}

function malformed(detail: string): GatewayError {
  return new GatewayError('protocol_violation', 'malformed SCRAM message', { detail });
}

function downgraded(): GatewayError {
  const detail =
    'The client supports SCRAM channel binding but thinks the server does not.  However, this server does support channel binding.';
  return new GatewayError('invalid_authorization_specification', 'SCRAM channel binding negotiation error', {
    detail,
  });
}

function wrongBinding(bound: boolean): GatewayError {
  if (bound)
    return new GatewayError('invalid_authorization_specification', 'SCRAM channel binding check failed');
  const text = 'unexpected SCRAM channel-binding attribute in client-final-message';
  return new GatewayError('protocol_violation', text);
}

/** A cursor over `attr-val` with commas between them. Behind the text it is at a zero byte, as in C. */
class Attributes {
  readonly #text: string;
  at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  peek(): string {
    return this.#text.charAt(this.at);
  }

  get done(): boolean {
    return this.at >= this.#text.length;
  }

  get shown(): string {
    return shownCharacter(this.#text, this.at);
  }

  skip(): void {
    this.at += 1;
  }

  /** The value of the attribute that has to be here. */
  value(name: string): string {
    if (this.peek() !== name) throw malformed(`Expected attribute "${name}" but found "${this.shown}".`);
    return this.#behindName(name);
  }

  /** The attribute that is here, whichever. */
  any(): { readonly name: string; readonly value: string } {
    if (this.done) throw malformed('Attribute expected, but found end of string.');
    const name = this.peek();
    if (!/^[A-Za-z]$/.test(name))
      throw malformed(`Attribute expected, but found invalid character "${this.shown}".`);
    return { name, value: this.#behindName(name) };
  }

  #behindName(name: string): string {
    this.skip();
    if (this.peek() !== '=') throw malformed(`Expected character "=" for attribute "${name}".`);
    this.skip();
    const comma = this.#text.indexOf(',', this.at);
    const end = comma < 0 ? this.#text.length : comma;
    const value = this.#text.slice(this.at, end);
    this.at = Math.min(end + 1, this.#text.length);
    return value;
  }
}

/** Distinguished names of certificates as texts (RFC 4514). */
import { TextDecoder } from 'node:util';
import { DerError, derInside, derOid, Tag } from './der.ts';
import type { DerValue } from './der.ts';

/** Attribute types with a name: those of RFC 4514 §3, and others as OpenSSL writes them. */
const NAMES: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.4': 'SN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'street',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '2.5.4.12': 'title',
  '2.5.4.42': 'GN',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
};
const COMMON_NAME = '2.5.4.3';

interface Attribute {
  readonly type: string;
  /** Undefined: it is no text, or not in the encoding that its tag says. */
  readonly text: string | undefined;
  readonly value: DerValue;
}

/** A `Name` of X.509: relative names from the root on, each of one or more attributes. */
export class DistinguishedName {
  readonly #relative: readonly (readonly Attribute[])[];

  /** @throws DerError */
  constructor(name: DerValue | undefined) {
    this.#relative = derInside(name).map((relative) => derInside(relative, Tag.set).map(attributeOf));
  }

  /** The last relative name first. What has no name or is no text is `#` and the hex of its DER. */
  toString(): string {
    return this.#relative
      .toReversed()
      .map((attributes) => attributes.map(shown).join('+'))
      .join(',');
  }

  /** Those that are printable texts. */
  get commonNames(): readonly string[] {
    return this.#relative
      .flat()
      .flatMap(({ type, text }) => (type === COMMON_NAME && isPrintable(text) ? [text] : []));
  }
}

/** Says whether there is a text, and no control character in it. */
function isPrintable(text: string | undefined): text is string {
  return text !== undefined && text !== '' && !/\p{Cc}/u.test(text);
}

function attributeOf(attribute: DerValue): Attribute {
  const [type, value, ...more] = derInside(attribute);
  if (!value || more.length > 0) throw new DerError('an attribute of a name is a type and a value');
  return { type: derOid(type), text: TEXTS[value.tag]?.(value.content), value };
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const UTF16 = new TextDecoder('utf-16be', { fatal: true, ignoreBOM: true });
const isAscii = (content: Buffer): boolean => content.every((octet) => octet < 0x80);
const ascii = (content: Buffer): string | undefined =>
  isAscii(content) ? content.toString('latin1') : undefined;

function decoded(decoder: TextDecoder, content: Buffer): string | undefined {
  try {
    return decoder.decode(content);
  } catch {
    return undefined;
  }
}

/** Types of texts by their tags. */
const TEXTS: Readonly<Record<number, (content: Buffer) => string | undefined>> = {
  0x0c: (content) => decoded(UTF8, content),
  0x12: ascii,
  0x13: ascii,
  0x16: ascii,
  // TeletexString: nearly everybody means Latin-1, and so does OpenSSL.
  0x14: (content) => content.toString('latin1'),
  0x1e: (content) => decoded(UTF16, content),
};

function shown({ type, text, value }: Attribute): string {
  const name = NAMES[type];
  const known = name !== undefined && text !== undefined;
  return `${name ?? type}=${known ? escaped(text) : `#${value.encoded.toString('hex')}`}`;
}

/** As RFC 4514 §2.4 wants it; control characters as hex as well. */
function escaped(text: string): string {
  return text
    .replace(/["+,;<>\\]|^[ #]| $/g, '\\$&')
    .replace(/\p{Cc}/gu, (character) =>
      [...Buffer.from(character)].map((octet) => `\\${octet.toString(16).padStart(2, '0')}`).join(''),
    );
}

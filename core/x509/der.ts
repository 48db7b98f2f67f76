/** Reads DER (ITU-T X.690, 10): definite lengths in their shortest form, and not one byte too many. */

/** One value with its tag. */
export interface DerValue {
  /** The identifier octet: class, whether it is constructed, and number. */
  readonly tag: number;
  readonly content: Buffer;
  /** Tag, length and content. */
  readonly encoded: Buffer;
}

/** Identifier octets of X.509. */
export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

/** Tag numbers from here on take more than one octet: X.509 has none. */
const LONG_TAG = 0x1f;
const MOST_LENGTH_OCTETS = 4;

/** Bytes that are no DER, or not the structure that was expected. */
export class DerError extends Error {}

function lengthAt(bytes: Buffer, at: number): { readonly length: number; readonly from: number } {
  const first = bytes[at];
  if (first === undefined) throw new DerError('a value ends before its length');
  if (first < 0x80) return { length: first, from: at + 1 };
  const octets = first & 0x7f;
  const from = at + 1 + octets;
  if (octets === 0 || octets > MOST_LENGTH_OCTETS || from > bytes.length)
    throw new DerError('a length that is none of DER');
  const length = bytes.readUIntBE(at + 1, octets);
  if (length < 0x80 || bytes[at + 1] === 0) throw new DerError('a length that is not in its shortest form');
  return { length, from };
}

function valueAt(bytes: Buffer, at: number): DerValue {
  const tag = bytes[at];
  if (tag === undefined || (tag & LONG_TAG) === LONG_TAG)
    throw new DerError('a tag that X.509 does not have');
  const { length, from } = lengthAt(bytes, at + 1);
  const to = from + length;
  if (to > bytes.length) throw new DerError('a value is longer than what contains it');
  return { tag, content: bytes.subarray(from, to), encoded: bytes.subarray(at, to) };
}

/** The values that fill `bytes`. @throws DerError */
export function derValues(bytes: Buffer): readonly DerValue[] {
  const values: DerValue[] = [];
  for (let at = 0; at < bytes.length;) {
    const value = valueAt(bytes, at);
    values.push(value);
    at += value.encoded.length;
  }
  return values;
}

/** The values inside of one that has this tag. @throws DerError for another tag */
export function derInside(value: DerValue | undefined, tag: number = Tag.sequence): readonly DerValue[] {
  return derValues(derContent(value, tag));
}

/** The content of a value that has this tag. @throws DerError for another tag */
export function derContent(value: DerValue | undefined, tag: number): Buffer {
  if (value?.tag === tag) return value.content;
  throw new DerError(`expected tag ${tag}, got ${value?.tag ?? 'nothing'}`);
}

/** The only value in `bytes`. @throws DerError */
export function derWhole(bytes: Buffer): DerValue {
  const [value, ...more] = derValues(bytes);
  if (!value || more.length > 0) throw new DerError('expected one value');
  return value;
}

/** An object identifier in dotted form. @throws DerError */
export function derOid(value: DerValue | undefined): string {
  const content = derContent(value, Tag.oid);
  const arcs: number[] = [];
  let arc = 0;
  for (const [place, octet] of content.entries()) {
    arc = arc * 128 + (octet & 0x7f);
    if (!Number.isSafeInteger(arc))
      throw new DerError('an object identifier with a number that is too large');
    if (octet < 0x80) {
      arcs.push(arc);
      arc = 0;
    } else if (place === content.length - 1) throw new DerError('an object identifier without its end');
  }
  const [first, ...rest] = arcs;
  if (first === undefined) throw new DerError('an object identifier without numbers');
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - root * 40, ...rest].join('.');
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
/** Two digits of a year mean 1950 to 2049 (RFC 5280 §4.1.2.5.1). */
const CENTURY_TURN = 50;

/** A UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 has them. @throws DerError */
export function derTime(value: DerValue | undefined): Date {
  const short = value?.tag === Tag.utcTime;
  const text = derContent(value, short ? Tag.utcTime : Tag.generalizedTime).toString('latin1');
  const [, year = '', ...rest] = (short ? UTC_TIME : GENERALIZED_TIME).exec(text) ?? [];
  const century = short ? (Number(year) < CENTURY_TURN ? '20' : '19') : '';
  const [month, day, hour, minute, second] = rest;
  const time = new Date(`${century}${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(time.getTime())) throw new DerError('a time that is none');
  return time;
}

/** An integer as hex: an even number of digits, without the octet that only says that it is positive. */
export function derIntegerHex(value: DerValue | undefined): string {
  const content = derContent(value, Tag.integer);
  if (content.length === 0) throw new DerError('an integer without octets');
  const negative = (content[0] ?? 0) >= 0x80;
  const padded = content.length > 1 && content[0] === 0;
  return `${negative ? '-' : ''}${content.toString('hex', padded ? 1 : 0)}`;
}

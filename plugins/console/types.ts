/** The types that results of the console have, in text and in binary form, as PostgreSQL sends them. */
import { int16, int32 } from '../../core/wire/index.ts';

/** Object ids and sizes (pg_type.dat). */
export const TYPES = {
  bool: [16, 1],
  int8: [20, 8],
  int4: [23, 4],
  text: [25, -1],
  bytea: [17, -1],
  numeric: [1700, -1],
  void: [2278, 4],
} as const;

/** A type's name. */
export type TypeName = keyof typeof TYPES;
/** A value; null is SQL NULL. Numbers are whole; those of type `bool` are `t` and `f`. */
export type Value = string | number | null;

/** Decimal digits in one of the numbers that a numeric is sent as (numeric.c, DEC_DIGITS). */
const DIGITS = 4;

/** Sign, in numeric_send (numeric.c). */
const [POSITIVE, NEGATIVE] = [0x0000, 0x4000];

/** A whole numeric: groups of four digits, those behind the last that is not zero left out. */
function numeric(text: string): Uint8Array {
  const negative = text.startsWith('-');
  const digits = (negative ? text.slice(1) : text).replace(/^0+/, '');
  const padded = digits.padStart(Math.ceil(digits.length / DIGITS) * DIGITS, '0');
  const groups: number[] = [];
  for (let at = 0; at < padded.length; at += DIGITS) groups.push(Number(padded.slice(at, at + DIGITS)));
  const weight = Math.max(0, groups.length - 1);
  while (groups.at(-1) === 0) groups.pop();
  const head = [groups.length, weight, negative ? NEGATIVE : POSITIVE, 0];
  return Buffer.concat([...head, ...groups].map(int16));
}

function int8(text: string): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(text));
  return bytes;
}

const BINARY: Readonly<Record<TypeName, (text: string) => Uint8Array>> = {
  bool: (text) => Buffer.from([text === 't' ? 1 : 0]),
  int8,
  int4: (text) => int32(Number(text)),
  text: (text) => Buffer.from(text),
  bytea: (text) => Buffer.from(text),
  numeric,
  void: () => Buffer.alloc(0),
};

/** The binary form of a value that is given as text. */
export function binary(type: TypeName, text: string): Uint8Array {
  return BINARY[type](text);
}

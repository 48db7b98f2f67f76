/** A result of the console: columns with their types, and rows. */
import { cstring, int16, int32, message, sized } from '../../core/wire/index.ts';
import { TYPES, binary } from './types.ts';
import type { TypeName, Value } from './types.ts';

/** No type modifier: -1. */
const NO_MODIFIER = 0xffff_ffff;

/** A column's name and type. */
export type Column = readonly [name: string, type: TypeName];
/** Columns by name, in their order. */
export type Columns = Readonly<Record<string, TypeName>>;
/** Values by column. */
export type Row<C extends Columns> = { readonly [K in keyof C]: Value };

/** Columns and the rows that were asked for. */
export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Value[])[];
}

/** Format codes as in a Bind: none is text, one is for all columns, else one for each; 0 is text, 1 binary (manual, 55.7). */
export type Formats = readonly number[];

/** Puts rows in the order of their columns. */
export function table<C extends Columns>(columns: C, rows: readonly Row<C>[]): Table {
  return {
    columns: Object.entries(columns),
    rows: rows.map((row) => Object.keys(columns).map((name) => row[name] ?? null)),
  };
}

const formatOf = (formats: Formats, endpoint: number): number =>
  formats[formats.length === 1 ? 0 : endpoint] ?? 0;

/** RowDescription (manual, 55.7). Default: text. */
export function describeColumns(columns: readonly Column[], formats: Formats = []): Uint8Array {
  const fields = columns.flatMap(([name, type], endpoint) => {
    const [oid, size] = TYPES[type];
    const format = int16(formatOf(formats, endpoint));
    return [cstring(name), int32(0), int16(0), int32(oid), int16(size), int32(NO_MODIFIER), format];
  });
  return message('T', [int16(columns.length), ...fields]);
}

/** DataRow. Default: text. A zero byte, which no text may have, is left out. */
export function encodeRow({ columns }: Table, row: readonly Value[], formats: Formats = []): Uint8Array {
  const values = row.map((value, endpoint) => {
    if (value === null) return sized(undefined);
    const [, type] = columns[endpoint] ?? ['', 'text'];
    const text = String(value).replaceAll('\0', '');
    return sized(formatOf(formats, endpoint) === 1 ? binary(type, text) : Buffer.from(text));
  });
  return message('D', [int16(row.length), ...values]);
}

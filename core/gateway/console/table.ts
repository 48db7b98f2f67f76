/** A result of the console: columns with their types, and rows of text. */
import { cstring, int16, int32, message } from '../../wire/message.ts';
import { dataRow } from '../../wire/to-client.ts';

/** The types that PgBouncer's console uses, with their object ids and sizes (pg_type.dat). */
const TYPES = { text: [25, -1], int4: [23, 4], numeric: [1700, -1] } as const;

/** No type modifier: -1. */
const NO_MODIFIER = 0xffff_ffff;

/** Columns by name, in their order. */
export type Columns = Readonly<Record<string, keyof typeof TYPES>>;
/** A value; null is SQL NULL. */
export type Value = string | number | null;
/** Values by column. */
export type Row<C extends Columns> = { readonly [K in keyof C]: Value };

/** Columns and the rows that were asked for. */
export interface Table {
  readonly columns: Columns;
  readonly rows: readonly (readonly Value[])[];
}

/** Puts rows in the order of their columns. */
export function table<C extends Columns>(columns: C, rows: readonly Row<C>[]): Table {
  return { columns, rows: rows.map((row) => Object.keys(columns).map((name) => row[name] ?? null)) };
}

/** RowDescription of columns in text form (manual, 55.7). */
export function describeColumns(columns: Columns): Buffer {
  const fields = Object.entries(columns).flatMap(([name, type]) => {
    const [oid, size] = TYPES[type];
    return [cstring(name), int32(0), int16(0), int32(oid), int16(size), int32(NO_MODIFIER), int16(0)];
  });
  return message('T', [int16(Object.keys(columns).length), ...fields]);
}

/** DataRow. Numbers are whole; a zero byte, which no text may have, is left out. */
export function encodeRow(row: readonly Value[]): Buffer {
  return dataRow(row.map((value) => (value === null ? null : String(value).replaceAll('\0', ''))));
}

/** Messages of a client, as short as a sequence of them has to be to be read at a glance. */
import { frame } from './raw.ts';

/** A Query. */
export const Q = (sql: string): Buffer => frame('Q', sql);

/** A Parse. Default: the unnamed statement. */
export const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);

/** A Bind of the unnamed portal with text parameters. Default: of the unnamed statement. */
export const B = (name = '', ...values: readonly string[]): Buffer =>
  frame('B', '', name, 0, values.length, ...values.flatMap(sized), 0);

/** A Describe of a statement. */
export const D = (name: string): Buffer => frame('D', Buffer.from('S'), name);

/** A Close of a statement. */
export const C = (name: string): Buffer => frame('C', Buffer.from('S'), name);

/** Execute of the unnamed portal, all rows. */
export const E: Buffer = frame('E', '', Buffer.alloc(4));

/** Sync. */
export const S: Buffer = frame('S');

/** A text behind its length, as values travel. */
export function sized(text: string): readonly [Buffer, Buffer] {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeInt32BE(bytes.length);
  return [length, bytes];
}

/** Texts whose meaning depends on search_path: a table, a parameter's type, a function. */
export const LITERAL = "insert into t values ('007')";
export const PARAMETER = 'insert into t values ($1)';
export const RESULT = 'select f() as v';

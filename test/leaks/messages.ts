/** Messages of a client, as bytes. */
import { message } from '../support/raw-client.ts';

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const text = (value: string): Buffer => Buffer.from(`${value}\0`);

/** Sync. */
export const SYNC = message('S');
/** Terminate. */
export const TERMINATE = message('X');
/** CopyDone. */
export const COPY_DONE = message('c');

/** Query. */
export const query = (sql: string): Buffer => message('Q', `${sql}\0`);

/** CopyData. */
export const copyData = (line: string): Buffer => message('d', line);

/** Parse, without types. */
export const parse = (name: string, sql: string): Buffer =>
  message('P', Buffer.concat([text(name), text(sql), word(0)]));

/** Bind of texts to the unnamed portal, and Execute of it. */
export function run(name: string, values: readonly string[] = []): Buffer {
  const parameters = values.flatMap((value) => {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeInt32BE(bytes.length);
    return [length, bytes];
  });
  const bind = Buffer.concat([text(''), text(name), word(0), word(values.length), ...parameters, word(0)]);
  return Buffer.concat([message('B', bind), message('E', Buffer.concat([text(''), Buffer.alloc(4)]))]);
}

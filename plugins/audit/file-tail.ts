/** The end of an audit file: where its chain goes on, whatever a crash has left there. */
import type { FileHandle } from 'node:fs/promises';
import { ConfigError } from '../../core/index.ts';
import { unseal } from './chain.ts';
import type { Link } from './chain.ts';

/** Longer than any line, in bytes. */
const TAIL_BYTES = 16_777_216;
const NEWLINE = 0x0a;

/** What stands at the end of a file. */
export interface Tail {
  /** Undefined where the file has no whole line. */
  readonly last: Link | undefined;
  /** Where the last whole line ends, in bytes. */
  readonly end: number;
}

/** Reads no more than the end. @throws ConfigError for a file that is no audit trail */
export async function tailOf(file: FileHandle, name: string): Promise<Tail> {
  const { size } = await file.stat();
  const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
  let have = 0;
  while (have < bytes.length) {
    const { bytesRead } = await file.read(bytes, have, bytes.length - have, size - bytes.length + have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  const until = bytes.lastIndexOf(NEWLINE);
  if (until < 0) {
    if (size > bytes.length || !isBeginning(bytes)) throw stranger(name);
    return { last: undefined, end: 0 };
  }
  const from = until === 0 ? 0 : bytes.lastIndexOf(NEWLINE, until - 1) + 1;
  const last = unseal(bytes.toString('utf8', from, until));
  if (!last) throw stranger(name);
  return { last: { n: last.n, hash: last.hash }, end: size - bytes.length + until + 1 };
}

/** A file of something else must not be cut because it has no line breaks. */
function isBeginning(bytes: Buffer): boolean {
  const start = Buffer.from('{"audit":1,');
  const length = Math.min(bytes.length, start.length);
  return bytes.subarray(0, length).equals(start.subarray(0, length));
}

function stranger(name: string): ConfigError {
  return new ConfigError(
    `audit.sink.file: ${name} does not end as an audit trail: move it away, or name another file`,
  );
}

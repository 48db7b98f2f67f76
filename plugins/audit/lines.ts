/** Lines of an audit file as they are read: whatever somebody has made of them. */
import { createReadStream } from 'node:fs';
import type { SealedLine } from './chain.ts';

/** What a line says that has to do with its place. */
export interface Mark {
  readonly instance?: unknown;
  readonly worker?: unknown;
  readonly workers?: unknown;
  readonly type?: unknown;
  readonly why?: unknown;
  readonly previous?: unknown;
  readonly keyed?: unknown;
  readonly count?: unknown;
}

/** Longer than any line, in bytes. */
const LONGEST_LINE = 16_777_216;

/** The lines of a file as bytes; the last one is `whole` unless its line break is missing. */
export async function* linesOf(
  file: string,
): AsyncGenerator<{ readonly text: string; readonly whole: boolean }> {
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let from = 0;
    for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, from)) {
      yield { text: exact(data.subarray(from, at)), whole: true };
      from = at + 1;
    }
    rest = Buffer.from(data.subarray(from));
    if (rest.length > LONGEST_LINE) break;
  }
  if (rest.length > 0) yield { text: exact(rest), whole: false };
}

/** Bytes that are no UTF-8 would all be read as the same character. */
function exact(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return text.includes('\ufffd') && !Buffer.from(text).equals(bytes) ? '' : text;
}

/** What a line says; undefined: it is no JSON. */
export function markOf({ content }: SealedLine): Mark | undefined {
  try {
    return JSON.parse(content) as Mark;
  } catch {
    return undefined;
  }
}

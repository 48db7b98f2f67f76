/** The chain: each line has the hash of itself and of the line before it, so that none can change, go or come unseen. */
import { createHmac, hash } from 'node:crypto';

/** The version of the lines' schema: the first member of each line. */
export const VERSION = 1;

/** What stands for the hash of the line before the first one. */
export const NOTHING_BEFORE = '0'.repeat(64);

const TAIL = /,"hash":"([0-9a-f]{64})"\}$/;
const HEAD = /^\{"audit":1,"n":([1-9]\d{0,15}),"time":"/;

/** Where a chain goes on. */
export interface Link {
  /** The number of the last line, from 1; 0 if there is none. */
  readonly n: number;
  /** Its hash, 64 hexadecimal digits. */
  readonly hash: string;
}

/** A line as it is read. */
export interface SealedLine extends Link {
  /** What the hash is of, besides the hash of the line before: the line without its hash. */
  readonly content: string;
}

/**
 * SHA-256 of the hash before and the line's content; with a key HMAC-SHA-256 (RFC 2104), which nobody can make who has only
 * the file.
 */
export function hashOf(before: string, content: string, key: string | undefined): string {
  const bytes = before + content;
  return key === undefined ? hash('sha256', bytes) : createHmac('sha256', key).update(bytes).digest('hex');
}

/** Numbers events and makes lines of them, one behind the other. */
export class Chain {
  readonly #key: string | undefined;
  #n: number;
  #hash: string;

  constructor(last: Link, key: string | undefined) {
    this.#n = last.n;
    this.#hash = last.hash;
    this.#key = key;
  }

  get last(): Link {
    return { n: this.#n, hash: this.#hash };
  }

  /** `members` is JSON without its outer braces, and begins with `"time"`. */
  seal(members: string): string {
    this.#n += 1;
    const open = `{"audit":${VERSION},"n":${this.#n},${members}`;
    this.#hash = hashOf(this.#hash, `${open}}`, this.#key);
    return `${open},"hash":"${this.#hash}"}`;
  }
}

/** Takes a line apart; undefined for one that was never sealed. */
export function unseal(line: string): SealedLine | undefined {
  const [head, n] = HEAD.exec(line) ?? [];
  const tail = TAIL.exec(line);
  if (head === undefined || !tail?.[1]) return undefined;
  return { n: Number(n), hash: tail[1], content: `${line.slice(0, tail.index)}}` };
}

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
  return digestOf(Buffer.from(before + content), key);
}

function digestOf(bytes: Buffer, key: string | undefined): string {
  return key === undefined
    ? hash('sha256', bytes, 'hex')
    : createHmac('sha256', key).update(bytes).digest('hex');
}

/** Lines of a chain, one behind the other. */
export interface SealedLines {
  /** How many there are. */
  readonly length: number;
  /** In UTF-8, each with its line break; valid until the next ones are made. */
  readonly bytes: Buffer;
  /** The last one. */
  readonly last: Link;
}

/** The lines as texts, without their line breaks. */
export const textsOf = ({ bytes }: SealedLines): readonly string[] =>
  bytes.toString().slice(0, -1).split('\n');

const HASH_BYTES = 64;
/** What a line has besides its members and the tail, at most, in bytes: its version, its number, its hash. */
const FRAME_BYTES = 128;
/** In UTF-8, for each UTF-16 code unit at most. */
const UNIT_BYTES = 3;
/** A larger buffer is not kept for the next lines. */
const KEPT_BYTES = 1_048_576;

/** Numbers events and makes lines of them, one behind the other. */
export class Chain {
  readonly #key: string | undefined;
  readonly #tail: string;
  /** What a line has besides its own members, at most, in bytes. */
  readonly #frame: number;
  #n: number;
  #hash: string;
  /** What the next hash is of: the hash before, and the line without its own. */
  #hashed = Buffer.alloc(HASH_BYTES + 4_096);
  /** For the lines: a new one for each write would let V8 mark its whole heap every few seconds. */
  #bytes = Buffer.alloc(0);

  /** `tail`: members that each line has behind its own, with a comma before each. Default: none. */
  constructor(last: Link, key: string | undefined, tail = '') {
    this.#tail = tail;
    this.#frame = FRAME_BYTES + Buffer.byteLength(tail) + HASH_BYTES;
    this.#n = last.n;
    this.#hash = last.hash;
    this.#key = key;
  }

  get last(): Link {
    return { n: this.#n, hash: this.#hash };
  }

  /** Makes a line of each of `events`: JSON without its outer braces that begins with `"time"`. */
  seal(events: readonly string[]): SealedLines {
    let [units, longest] = [0, 0];
    for (const { length } of events) {
      units += length;
      longest = Math.max(longest, length);
    }
    // Enough where all is ASCII.
    const ascii = units + 2 * longest + events.length * this.#frame;
    let bytes = this.#bytes.length >= ascii ? this.#bytes : Buffer.allocUnsafeSlow(ascii);
    let at = 0;
    for (const members of events) {
      const most = members.length * UNIT_BYTES + this.#frame;
      if (bytes.length - at < most)
        bytes = Buffer.concat([bytes.subarray(0, at)], Math.max(bytes.length * 2, at + most));
      at = this.#sealInto(bytes, at, members);
    }
    if (bytes.length <= KEPT_BYTES) this.#bytes = bytes;
    return { length: events.length, bytes: bytes.subarray(0, at), last: this.last };
  }

  /** Where the line ends. */
  #sealInto(bytes: Buffer, at: number, members: string): number {
    this.#n += 1;
    const most = members.length * UNIT_BYTES + this.#frame;
    if (this.#hashed.length < most) this.#hashed = Buffer.alloc(most);
    this.#hashed.write(this.#hash, 0, 'latin1');
    const line = `{"audit":${VERSION},"n":${this.#n},${members}${this.#tail}}`;
    const end = HASH_BYTES + this.#hashed.write(line, HASH_BYTES, 'utf8');
    this.#hash = digestOf(this.#hashed.subarray(0, end), this.#key);
    // Behind the members, in front of the brace.
    const tail = at + this.#hashed.copy(bytes, at, HASH_BYTES, end - 1);
    return tail + bytes.write(`,"hash":"${this.#hash}"}\n`, tail, 'latin1');
  }
}

/** Takes a line apart; undefined for one that was never sealed. */
export function unseal(line: string): SealedLine | undefined {
  const [head, n] = HEAD.exec(line) ?? [];
  const tail = TAIL.exec(line);
  if (head === undefined || !tail?.[1]) return undefined;
  return { n: Number(n), hash: tail[1], content: `${line.slice(0, tail.index)}}` };
}

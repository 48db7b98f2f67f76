/** What workers write to standard output, in whole lines: a pipe that several processes write to tears lines when it is full. */
import type { ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

const NEWLINE = 0x0a;
/** Bytes that may wait for a reader before no worker is read any more. Each of them then keeps, and loses, lines by itself. */
const MOST_WAITING = 1024 * 1024;
/** The longest line that is kept together, in bytes. */
const LONGEST_LINE = 8 * 1024 * 1024;
/** How long the output of a process that has ended is waited for, in milliseconds: a child of its own may keep it open. */
const LAST_WORDS_MS = 500;

/** One per parent. */
export class WorkersOutput {
  readonly #to: Writable;
  readonly #from = new Set<Readable>();

  /** Where nobody reads any more, workers are told so by their own pipes. */
  constructor(to: Writable) {
    this.#to = to;
    to.on('drain', () => {
      for (const stream of this.#from) stream.resume();
    });
    const gone = (): void => {
      for (const stream of this.#from) stream.destroy();
    };
    to.on('error', gone).on('close', gone);
  }

  /** Passes on all lines of a worker; the beginning of one that its death has cut off is left out. */
  join({ stdout }: Pick<ChildProcess, 'stdout'>, ended: (run: () => void) => void): void {
    if (!stdout) return;
    let begun: Buffer[] = [];
    let length = 0;
    stdout.on('data', (chunk: Buffer) => {
      const end = chunk.lastIndexOf(NEWLINE) + 1;
      const whole = end > 0 || length + chunk.length > LONGEST_LINE;
      const upTo = end > 0 ? end : chunk.length;
      if (whole) {
        this.#write([...begun, chunk.subarray(0, upTo)]);
        begun = [];
        length = 0;
      }
      const rest = whole ? chunk.subarray(upTo) : chunk;
      if (rest.length > 0) begun.push(rest);
      length += rest.length;
    });
    stdout.on('error', () => {});
    stdout.once('close', () => this.#from.delete(stdout));
    this.#from.add(stdout);
    ended(() => void setTimeout(() => stdout.destroy(), LAST_WORDS_MS).unref());
  }

  #write(pieces: readonly Buffer[]): void {
    const [first] = pieces;
    this.#to.write(pieces.length === 1 ? first : Buffer.concat(pieces));
    if (this.#to.writableLength > MOST_WAITING) for (const stream of this.#from) stream.pause();
  }
}

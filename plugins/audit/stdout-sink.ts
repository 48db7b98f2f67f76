/** Audit lines on standard output, between those of the log: they begin with `{"audit":1`. */
import type { SealedLines } from './chain.ts';
import type { Before, Sink } from './sink.ts';

/** The most that a pipe takes from several processes without mixing it, in bytes (`PIPE_BUF` of Linux). */
const ATOMIC_BYTES = 4_096;
const NEWLINE = 0x0a;

/** A chain begins with each start. Where several processes write to one pipe, whole lines are written at once, as many as a pipe does not tear. */
export class StdoutSink implements Sink {
  readonly name = 'stdout';
  readonly #shared: boolean;
  /** A pipe that nobody reads any more must not end the process. */
  readonly #ignore = (): void => {};

  /** `shared`: other processes write there as well. */
  constructor({ shared }: { readonly shared: boolean }) {
    this.#shared = shared;
  }

  open(): Promise<Before> {
    process.stdout.on('error', this.#ignore);
    return Promise.resolve({});
  }

  async write({ bytes }: SealedLines): Promise<void> {
    if (!this.#shared) return this.#write(bytes);
    for (const lines of wholeLines(bytes)) await this.#write(lines);
  }

  #write(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): Promise<void> {
    process.stdout.off('error', this.#ignore);
    return Promise.resolve();
  }
}

/** Pieces that end with a line, of as many bytes as a pipe does not tear; a longer line is a piece by itself. */
export function* wholeLines(bytes: Buffer): Generator<Buffer> {
  for (let from = 0; from < bytes.length;) {
    const fitting = bytes.subarray(from, from + ATOMIC_BYTES).lastIndexOf(NEWLINE);
    const end = fitting >= 0 ? from + fitting + 1 : bytes.indexOf(NEWLINE, from) + 1 || bytes.length;
    yield bytes.subarray(from, end);
    from = end;
  }
}

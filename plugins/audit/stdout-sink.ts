/** Audit lines on standard output, between those of the log: they begin with `{"audit":1`. */
import type { SealedLines } from './chain.ts';
import type { Before, Sink } from './sink.ts';

/** A chain begins with each start. */
export class StdoutSink implements Sink {
  readonly name = 'stdout';
  /** A pipe that nobody reads any more must not end the process. */
  readonly #ignore = (): void => {};

  open(): Promise<Before> {
    process.stdout.on('error', this.#ignore);
    return Promise.resolve({});
  }

  write({ bytes }: SealedLines): Promise<void> {
    return new Promise((resolve, reject) => {
      process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): Promise<void> {
    process.stdout.off('error', this.#ignore);
    return Promise.resolve();
  }
}

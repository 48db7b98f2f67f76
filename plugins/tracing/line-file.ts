/** A file that lines are put behind, opened anew when somebody has renamed it, or after an error; only its owner may read it. */
import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';
import type { Logger } from '../../core/index.ts';

/** Bytes that may wait to be written; lines beyond are dropped, and that is said. */
const MOST_WAITING = 4 * 1024 * 1024;
/** From an error to the next try, in milliseconds. */
const RETRY_MS = 1_000;

/** One per path. What cannot be written goes to the gateway's log. */
export class LineFile {
  readonly #path: string;
  readonly #log: Logger;
  readonly #ending = new Set<Promise<void>>();
  #stream: WriteStream | undefined;
  #dropped = 0;
  #failedAt = 0;
  /** It was said that it cannot be written. */
  #told = false;

  /** `path` is absolute. */
  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** What is written from here on goes to the file that has the name now. */
  reopen(): void {
    this.#end();
    this.#open();
  }

  write(line: object): void {
    if (!this.#stream && Date.now() - this.#failedAt >= RETRY_MS) this.#open();
    const stream = this.#stream;
    if (!stream) this.#log.info(line, 'access');
    else if (stream.writableLength > MOST_WAITING) this.#dropped += 1;
    else {
      stream.write(`${JSON.stringify(line)}\n`, (error) => {
        if (error) this.#log.info(line, 'access');
        else this.#told = false;
      });
    }
  }

  /** Resolves when everything is written. */
  async close(): Promise<void> {
    this.#end();
    await Promise.all(this.#ending);
  }

  #open(): void {
    const stream = createWriteStream(this.#path, { flags: 'a', mode: 0o600 });
    this.#stream = stream;
    stream.on('error', (error) => {
      if (this.#stream === stream) this.#stream = undefined;
      this.#failedAt = Date.now();
      if (this.#told) return;
      this.#told = true;
      this.#log.error({ file: this.#path, reason: error.message }, 'the access log cannot be written');
    });
    stream.on('drain', () => {
      if (this.#dropped > 0)
        this.#log.warn({ dropped: this.#dropped }, 'lines of the access log were dropped');
      this.#dropped = 0;
    });
  }

  #end(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    if (!stream) return;
    const ended = new Promise<void>((resolve) => void stream.once('close', resolve));
    this.#ending.add(ended);
    void ended.then(() => this.#ending.delete(ended));
    stream.end();
  }
}

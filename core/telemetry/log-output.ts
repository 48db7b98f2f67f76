/** Standard output as the log uses it: a reader that stalls or has gone, or a full disk, must not stop the gateway. */
import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** Bytes that may wait for a reader; lines that come on top are lost, and counted. */
const MOST_BYTES = 8 * 1024 * 1024;

/** A destination for pino: `write` never waits and never throws. */
export class LogOutput {
  #to: Writable & { readonly fd: number };
  #gone = false;
  #lost = 0;

  constructor(to: Writable & { readonly fd: number } = process.stdout) {
    this.#to = to;
    this.#hearErrors();
  }

  /** Writes to this one from now on. */
  goOn(to: Writable & { readonly fd: number }): void {
    this.#to = to;
    this.#gone = false;
    this.#hearErrors();
  }

  write(line: string): void {
    if (this.#gone) return;
    if (this.#to.writableLength > MOST_BYTES) {
      this.#lost += 1;
      return;
    }
    const lost = this.#lost;
    this.#lost = 0;
    if (!this.#put(lost > 0 ? lostLine(lost) + line : line)) this.#lost += lost + 1;
  }

  /** Calls `done` when everything has been taken, or never will be. */
  flush(done: () => void): void {
    if (this.#gone || this.#to.writableLength === 0) done();
    else this.#to.write('', () => done());
  }

  /** EPIPE: nobody will ever read a line again, and each one would fail anew. */
  #hearErrors(): void {
    const to = this.#to;
    to.on('error', () => {
      if (this.#to === to) this.#gone = true;
    });
  }

  /** node:stream would give a file up at its first error: the disk may have room again later. */
  #put(text: string): boolean {
    if (this.#to instanceof Socket) {
      this.#to.write(text);
      return true;
    }
    try {
      writeSync(this.#to.fd, text);
      return true;
    } catch {
      return false;
    }
  }
}

/** In the words of the log, which cannot be asked: it writes here. */
function lostLine(lines: number): string {
  const line = { level: 'warn', time: new Date().toISOString(), lines, msg: 'log lines were lost' };
  return `${JSON.stringify(line)}\n`;
}

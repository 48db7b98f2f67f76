/** A lock file as PostgreSQL has it: its first line is the id of the process that holds it. */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { identityOf, moveToFree, removeExactly, unique } from './exclusive-file.ts';

/** A lock file that another process, or this one, has made. */
export interface FoundLock {
  readonly identity: string;
  /** Undefined: the file names none. */
  readonly pid: number | undefined;
  /** This process has it for another listener. */
  readonly held: boolean;
}

/** Those of this process, whose id in them tells nothing. */
const held = new Set<string>();

const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Bytes that are read: a process id is at the beginning. */
const READ_BYTES = 32;

/** Errors are those of `node:fs`. */
export class LockFile {
  readonly file: string;
  #identity: string | undefined;

  constructor(file: string) {
    this.file = file;
  }

  /** Whether it is there and has not been replaced. */
  get own(): boolean {
    return this.#identity !== undefined && identityOf(this.file) === this.#identity;
  }

  /** Written under another name first: under its own it is never half written. @returns false where there is one already */
  take(text: string): boolean {
    const written = `${this.file}.${unique()}`;
    writeFileSync(written, text, { flag: 'wx', mode: 0o600 });
    const identity = identityOf(written);
    if (identity === undefined || !moveToFree(written, this.file)) {
      unlinkSync(written);
      return false;
    }
    held.add(identity);
    this.#identity = identity;
    return true;
  }

  /** Undefined: there is none. Null: it is no regular file, such as a FIFO, on which a read would wait for ever. */
  find(): FoundLock | undefined | null {
    const found = lstatSync(this.file, { throwIfNoEntry: false });
    if (!found) return undefined;
    if (!found.isFile()) return null;
    const identity = identityOf(this.file);
    const text = identity === undefined ? undefined : this.#read();
    // Another file by now: look again.
    if (identity === undefined || identityOf(this.file) !== identity) return this.find();
    // A standalone PostgreSQL writes it negative.
    const pid = Math.abs(Number.parseInt(text ?? '', 10));
    return { identity, pid: pid > 0 ? pid : undefined, held: held.has(identity) };
  }

  /** Removes it if it is this one. Can be called again. */
  release(): void {
    const identity = this.#identity;
    if (identity === undefined) return;
    this.#identity = undefined;
    held.delete(identity);
    removeExactly(this.file, identity);
  }

  #read(): string | undefined {
    let descriptor: number;
    try {
      descriptor = openSync(this.file, READ_FLAGS);
    } catch (error) {
      // It has gone, or became a symbolic link: the identity tells.
      const { code = '' } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ELOOP') return undefined;
      throw error;
    }
    try {
      if (!fstatSync(descriptor).isFile()) return undefined;
      const bytes = Buffer.alloc(READ_BYTES);
      return bytes.toString('latin1', 0, readSync(descriptor, bytes, 0, READ_BYTES, 0));
    } finally {
      closeSync(descriptor);
    }
  }
}

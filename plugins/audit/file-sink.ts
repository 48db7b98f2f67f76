/** Audit lines in a file that only its owner reads, and that is followed by others when it is full. */
import { constants } from 'node:fs';
import { mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError } from '../../core/index.ts';
import type { SealedLines } from './chain.ts';
import { FileLock } from './file-lock.ts';
import { rotatedFiles, rotatedName } from './file-names.ts';
import { tailOf } from './file-tail.ts';
import type { FileOptions } from './options.ts';
import type { Before, Sink } from './sink.ts';
import { Syncing } from './syncing.ts';

const { O_APPEND, O_CREAT, O_EXCL, O_RDWR } = constants;
/** Others may neither read what people do nor write what they did not. */
const OWN = 0o600;
const OWN_FOLDER = 0o700;

/** One per file; the only one that writes there. */
export class FileSink implements Sink {
  readonly name: string;
  readonly #options: FileOptions;
  readonly #syncing: Syncing;
  readonly #lock: FileLock;
  #file: FileHandle | undefined;
  #size = 0;
  #since = 0;
  #lastLine = 0;
  /** A write has failed: behind `#size` may be a part of it. */
  #torn = false;
  /** The file is full, and still has its name. */
  #renaming = false;

  /** `file` is an absolute path. */
  constructor(file: string, options: FileOptions) {
    this.name = file;
    this.#options = options;
    this.#syncing = new Syncing(options.fsync);
    this.#lock = new FileLock(file);
  }

  async open(): Promise<Before> {
    await mkdir(path.dirname(this.name), { recursive: true, mode: OWN_FOLDER }).catch(unusable);
    const file = await open(this.name, O_RDWR | O_APPEND | O_CREAT, OWN).catch(unusable);
    this.#file = file;
    const { mode, birthtimeMs } = await file.stat();
    this.#since = birthtimeMs;
    try {
      if ((mode & 0o022) !== 0) throw new ConfigError(`audit.sink.file: others may write to ${this.name}`);
      await this.#lock.take();
      return await this.#goOn(file);
    } catch (error) {
      this.#file = undefined;
      await file.close();
      await this.#lock.release();
      throw error;
    }
  }

  async #goOn(file: FileHandle): Promise<Before> {
    const { last, end } = await tailOf(file, this.name);
    const { size } = await file.stat();
    if (size > end) await file.truncate(end);
    this.#size = end;
    const before = last ?? (await this.#lastOfRotated());
    this.#lastLine = before?.n ?? 0;
    return { last: before, ...(size > end && { cut: size - end }) };
  }

  async write({ bytes, last }: SealedLines): Promise<void> {
    // Somebody else's lines are in it.
    if (this.#renaming) await this.rotate();
    const file = this.#file ?? (await this.#begin());
    await this.#refuseChanged(file);
    this.#torn = true;
    for (let done = 0; done < bytes.length;) {
      done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
    }
    this.#torn = false;
    this.#size += bytes.length;
    this.#lastLine = last.n;
    await this.#syncing.written(file);
  }

  full(): boolean {
    const { size, ageMs } = this.#options.rotate;
    return this.#size >= size || (ageMs !== undefined && Date.now() - this.#since >= ageMs);
  }

  async rotate(): Promise<void> {
    const file = this.#file;
    if (file) {
      await this.#syncing.stop(file);
      this.#file = undefined;
      this.#renaming = true;
      await file.close();
    }
    if (this.#renaming) {
      const name = rotatedName(this.name, this.#lastLine);
      if (await exists(name)) throw new Error(`${name} is there already`);
      await rename(this.name, name);
      this.#renaming = false;
    }
    await this.#prune();
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    try {
      if (!file) return;
      await this.#syncing.stop(file);
      await file.close();
    } finally {
      await this.#lock.release();
    }
  }

  async #begin(): Promise<FileHandle> {
    const file = await open(this.name, O_RDWR | O_APPEND | O_CREAT | O_EXCL, OWN);
    // It is there now, whatever becomes of its name on disk.
    this.#file = file;
    this.#size = 0;
    this.#since = Date.now();
    this.#torn = false;
    await syncFolder(path.dirname(this.name));
    return file;
  }

  /** Somebody else's lines, or a missing file, are seen at once; the trail goes on in a new one. @throws Error */
  async #refuseChanged(file: FileHandle): Promise<void> {
    const { size, nlink } = await file.stat();
    if (nlink === 0) {
      this.#file = undefined;
      await file.close();
      throw new Error(`${this.name} was deleted`);
    }
    if (size === this.#size) return;
    if (!this.#torn) {
      await this.rotate();
      throw new Error(`${this.name} was changed by somebody else, and is called otherwise now`);
    }
    await file.truncate(this.#size);
  }

  async #lastOfRotated(): Promise<Before['last']> {
    const newest = (await rotatedFiles(this.name)).at(-1);
    if (newest === undefined) return undefined;
    const file = await open(newest, 'r');
    try {
      return (await tailOf(file, newest)).last;
    } finally {
      await file.close();
    }
  }

  async #prune(): Promise<void> {
    const { keep } = this.#options.rotate;
    if (keep === undefined) return;
    const files = await rotatedFiles(this.name);
    for (const file of files.slice(0, Math.max(0, files.length - keep))) await unlink(file);
  }
}

function unusable(error: unknown): never {
  const why = error instanceof Error ? error.message : 'it cannot be opened';
  throw new ConfigError(`audit.sink.file: ${why}`);
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}

/** The name of a new file is in its folder, which has a life of its own on disk. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The last good keys of an issuer on disk, for a start while the issuer is down: trusted only as far as the file is ours. */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError } from '../../core/index.ts';
import { MAX_DOCUMENT_BYTES } from './download.ts';
import { parseKeySet } from './key-set.ts';
import type { KeySet } from './key-set.ts';
import { checkOwnFolder, readOwnFile, writeOwnFile } from './own-file.ts';

/** A set that was kept, and how old it is. */
export interface KeptKeys {
  readonly set: KeySet;
  /** Milliseconds since it was fetched. */
  readonly ageMs: number;
}

/** So far the clock may have been set back since the fetch, in milliseconds. */
const TOLERANCE_MS = 60_000;

/** Makes the folder where there is none. @throws ConfigError if others can write to it, or nobody can */
export async function openCacheFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await checkOwnFolder(folder);
  } catch (error) {
    throw new ConfigError(`jwt.cache: ${error instanceof Error ? error.message : 'cannot be used'}`);
  }
}

/** The file of one issuer and one source of its keys. */
export class KeyCache {
  readonly #file: string;
  readonly #issuer: string;
  readonly #source: string;
  #turn: Promise<void> = Promise.resolve();

  /** `source` tells places that keys come from apart: those from another place are not taken. */
  constructor(folder: string, issuer: string, source: string) {
    const name = createHash('sha256')
      .update(JSON.stringify([issuer, source]))
      .digest('hex');
    this.#file = path.join(folder, `${name}.json`);
    this.#issuer = issuer;
    this.#source = source;
  }

  /** Undefined if there is none. @throws Error if others can write to the file, or it is none of ours, or from the future */
  async load(): Promise<KeptKeys | undefined> {
    const text = await readOwnFile(this.#file, MAX_DOCUMENT_BYTES);
    if (text === undefined) return undefined;
    const { issuer, source, fetchedAt, keys } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (issuer !== this.#issuer || source !== this.#source || typeof fetchedAt !== 'number') {
      throw new Error('not a kept key set of this issuer');
    }
    const ageMs = Date.now() - fetchedAt;
    if (!(ageMs >= -TOLERANCE_MS)) throw new Error('fetched in the future');
    return { set: parseKeySet({ keys }), ageMs: Math.max(0, ageMs) };
  }

  /** Keeps a set that has been fetched just now. @throws Error */
  save({ text }: KeySet): Promise<void> {
    const fetchedAt = Date.now();
    return this.#write({ issuer: this.#issuer, source: this.#source, fetchedAt, keys: JSON.parse(text) });
  }

  /** What was kept is not trusted any more. @throws Error */
  forget(): Promise<void> {
    return this.#write({ issuer: this.#issuer, source: this.#source, keys: [] });
  }

  /** In the order of the calls. */
  #write(content: object): Promise<void> {
    const written = this.#turn.then(() => writeOwnFile(this.#file, `${JSON.stringify(content)}\n`));
    this.#turn = written.catch(() => {});
    return written;
  }
}

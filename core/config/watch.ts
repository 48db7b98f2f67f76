/** Tells when files change, whoever replaces them and however: by events where the system has them, and by looking. */
import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { dirname } from 'node:path';
import { NO_FILE, fileVersion } from '../options/file-version.ts';

/** How often a watch looks, in milliseconds. */
export interface WatchTimes {
  /** A change is told once nothing has changed for this long. Default 200. */
  readonly settle?: number;
  /** Events get lost, on network file systems above all: between two looks without one. Default 5000. */
  readonly poll?: number;
}

function statesOf(files: readonly string[]): Promise<readonly (readonly [file: string, state: string])[]> {
  return Promise.all(files.map(async (file) => [file, await fileVersion(file)] as const));
}

/** Watches files from `start` to `close`. Keeps no process alive. */
export class FileWatch {
  readonly #times: Required<WatchTimes>;
  readonly #folders = new Map<string, FSWatcher>();
  /** The state of each file as it was when it was followed first, or told last. */
  #known: ReadonlyMap<string, string> = new Map();
  /** The states of the last look where they differ from those. */
  #fresh: string | undefined;
  #changed: (() => void) | undefined;
  #poll: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;

  constructor({ settle = 200, poll = 5_000 }: WatchTimes = {}) {
    this.#times = { settle, poll };
  }

  /** From here on `changed` is called for every change, those included that came since a file was followed first. */
  start(changed: () => void): void {
    this.#changed = changed;
    this.#poll = setInterval(() => this.#lookSoon(), this.#times.poll).unref();
    this.#watchFolders();
    this.#lookSoon();
  }

  /** Watches these files and no others, by absolute paths; they need not exist. */
  async follow(files: readonly string[]): Promise<void> {
    const unknown = files.filter((file) => !this.#known.has(file));
    const states = new Map(await statesOf(unknown));
    this.#known = new Map(files.map((file) => [file, this.#known.get(file) ?? states.get(file) ?? NO_FILE]));
    this.#watchFolders();
  }

  close(): void {
    this.#changed = undefined;
    clearInterval(this.#poll);
    clearTimeout(this.#soon);
    this.#watchFolders();
  }

  /** Folders, since a watch of a file ends with the file, and most editors replace it. */
  #watchFolders(): void {
    const folders = new Set(this.#changed ? [...this.#known.keys()].map((file) => dirname(file)) : []);
    for (const [folder, watcher] of this.#folders) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#folders.delete(folder);
    }
    for (const folder of folders) if (!this.#folders.has(folder)) this.#open(folder);
  }

  #open(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#lookSoon());
      watcher.on('error', () => watcher.close());
      this.#folders.set(folder, watcher);
    } catch {
      // Looking is enough: there may be no folder yet, or no watch left to have.
    }
  }

  #lookSoon(): void {
    if (!this.#changed) return;
    this.#soon ??= setTimeout(() => void this.#look(), this.#times.settle).unref();
  }

  async #look(): Promise<void> {
    this.#soon = undefined;
    const now = new Map(await statesOf([...this.#known.keys()]));
    const differs = [...now].some(([file, state]) => (this.#known.get(file) ?? state) !== state);
    const fresh = differs ? JSON.stringify([...now]) : undefined;
    const settled = fresh === this.#fresh;
    this.#fresh = fresh;
    if (!differs) return;
    // Something is being written: whoever reads it now might read half of it.
    if (!settled) return this.#lookSoon();
    this.#fresh = undefined;
    this.#known = new Map([...this.#known].map(([file, state]) => [file, now.get(file) ?? state]));
    this.#changed?.();
  }
}

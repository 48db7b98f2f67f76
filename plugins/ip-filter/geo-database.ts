/** Keeps a database file in memory, and takes a new version of it once that is there as a whole. */
import { readFile, stat } from 'node:fs/promises';
import type { Disposer, Logger } from '../../core/index.ts';
import { openMmdb } from './mmdb.ts';
import type { Mmdb } from './mmdb.ts';
import type { GeoKind } from './policy.ts';

/** How often the file is looked at, in milliseconds. One that has not changed since the last look is taken to be complete. */
const LOOK_MS = 1_000;

/** One file, for all who use it. */
export class GeoDatabase {
  readonly #file: string;
  readonly #kind: GeoKind;
  #mmdb: Mmdb | undefined;
  /** What {@link versionOf} said when it was loaded, when it could not be, and at the last look. */
  #loaded = '';
  #refused = '';
  #seen = '';
  #users = 0;
  #timer: NodeJS.Timeout | undefined;
  #log: Logger | undefined;

  /** `file` is absolute. */
  constructor(file: string, kind: GeoKind) {
    this.#file = file;
    this.#kind = kind;
  }

  /** Loads the file unless it is in use, and follows it until every user has let go. @throws Error if it cannot be used */
  async open(log: Logger): Promise<Disposer> {
    this.#log = log;
    if (!this.#mmdb) await this.#load();
    if (this.#users++ === 0) this.#look();
    return () => {
      if (--this.#users > 0) return;
      clearTimeout(this.#timer);
      this.#mmdb = undefined;
    };
  }

  /** Such as `DE` or `AS64496`; undefined if the database does not know. @throws Error where the file is damaged */
  find(address: string): string | undefined {
    if (!this.#mmdb) throw new Error('the database is not open');
    return this.#mmdb.find(address);
  }

  #look(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.#follow().finally(() => {
        if (this.#users > 0) this.#look();
      });
    }, LOOK_MS).unref();
  }

  async #follow(): Promise<void> {
    const version = await versionOf(this.#file);
    const settled = version === this.#seen;
    this.#seen = version;
    if (!settled || version === this.#loaded || version === this.#refused) return;
    try {
      await this.#load();
    } catch (error) {
      this.#refused = version;
      const reason = error instanceof Error ? error.message : 'failed';
      this.#log?.warn({ file: this.#file, reason }, 'database not refreshed: the one before stays in use');
    }
  }

  /** Builds the new one beside the old, which serves meanwhile and stays if anything is wrong. */
  async #load(): Promise<void> {
    const version = await versionOf(this.#file);
    const mmdb = openMmdb(await readFile(this.#file), this.#kind);
    // Written to while it was read: the next looks will see it settle.
    if (this.#mmdb && (await versionOf(this.#file)) !== version) return;
    this.#mmdb = mmdb;
    this.#loaded = version;
    this.#log?.info({ file: this.#file, type: mmdb.type, built: mmdb.built }, 'database loaded');
  }
}

/** Changes whenever the file does; a file that is not there has a version as well. */
async function versionOf(file: string): Promise<string> {
  try {
    const { ino, size, mtimeMs } = await stat(file);
    return `${ino} ${size} ${mtimeMs}`;
  } catch {
    return 'not there';
  }
}

/** Keeps a database file in memory, and takes a new version of it once that is there as a whole. */
import { readFile } from 'node:fs/promises';
import { FollowedFile } from '../../core/index.ts';
import type { Disposer, Logger } from '../../core/index.ts';
import { openMmdb } from './mmdb.ts';
import type { Mmdb } from './mmdb.ts';
import type { GeoKind } from './policy.ts';

/** One file, for all who use it. */
export class GeoDatabase {
  readonly #file: string;
  readonly #followed: FollowedFile<Mmdb>;
  #mmdb: Mmdb | undefined;
  #log: Logger | undefined;

  /** `file` is absolute. */
  constructor(file: string, kind: GeoKind) {
    this.#file = file;
    this.#followed = new FollowedFile(file, {
      read: async () => openMmdb(await readFile(file), kind),
      taken: (mmdb) => this.#take(mmdb),
      refused: (error) => this.#refuse(error),
      closed: () => (this.#mmdb = undefined),
    });
  }

  /** Loads the file unless it is in use, and follows it until every user has let go. @throws Error if it cannot be used */
  open(log: Logger): Promise<Disposer> {
    this.#log = log;
    return this.#followed.open();
  }

  /** Such as `DE` or `AS64496`; undefined if the database does not know. @throws Error where the file is damaged */
  find(address: string): string | undefined {
    if (!this.#mmdb) throw new Error('the database is not open');
    return this.#mmdb.find(address);
  }

  #take(mmdb: Mmdb): void {
    this.#mmdb = mmdb;
    this.#log?.info({ file: this.#file, type: mmdb.type, built: mmdb.built }, 'database loaded');
  }

  #refuse(error: unknown): void {
    const reason = error instanceof Error ? error.message : 'failed';
    this.#log?.warn({ file: this.#file, reason }, 'database not refreshed: the one before stays in use');
  }
}

/** A file whose content is kept in memory, and taken anew when it has changed, once it is there as a whole. */
import { fileVersion } from './file-version.ts';
import type { Disposer } from '../contract/session.ts';

/** How often the file is looked at, in milliseconds. One that has not changed since the last look is taken to be complete. */
const LOOK_MS = 1_000;

/** What becomes of a {@link FollowedFile}. */
export interface FileUse<T> {
  /** Makes of the file what is kept. @throws Error where it cannot be used */
  read(): Promise<T>;
  taken(value: T): void;
  /** A new version cannot be used: what was taken before stays. */
  refused(error: unknown): void;
  /** The last user has let go. */
  closed(): void;
}

/**
 * Keeps what a file says, and takes a new version once it is there as a whole. One instance serves all its users, and keeps no process alive.
 *
 * @example
 * const rules = new FollowedFile('/etc/postern/rules.json', {
 *   read: async () => JSON.parse(await readFile('/etc/postern/rules.json', 'utf8')) as unknown,
 *   taken: (value) => accept(value),
 *   refused: (error) => gateway.log.error({ error }, 'the rules cannot be read; the ones before stay'),
 *   closed: () => {},
 * });
 * const close = await rules.open();
 */
export class FollowedFile<T> {
  readonly #file: string;
  readonly #use: FileUse<T>;
  /** What {@link fileVersion} said when it was taken, when it was refused, and at the last look. */
  #taken = '';
  #refused = '';
  #seen = '';
  #users = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `file` is absolute. */
  constructor(file: string, use: FileUse<T>) {
    this.#file = file;
    this.#use = use;
  }

  /** Reads the file unless it is in use, and follows it until every user has let go. @throws Error as `read` does */
  async open(): Promise<Disposer> {
    if (this.#users === 0) await this.#read();
    this.#users += 1;
    if (this.#users === 1) this.#look();
    return () => {
      this.#users -= 1;
      if (this.#users > 0) return;
      clearTimeout(this.#timer);
      this.#use.closed();
    };
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
    const version = await fileVersion(this.#file);
    const settled = version === this.#seen;
    this.#seen = version;
    if (!settled || version === this.#taken || version === this.#refused) return;
    try {
      await this.#read();
    } catch (error) {
      this.#refused = version;
      this.#use.refused(error);
    }
  }

  /** What was taken before serves meanwhile. */
  async #read(): Promise<void> {
    const version = await fileVersion(this.#file);
    const followed = this.#users > 0;
    const value = await this.#use.read();
    // Written to while it was read: the next looks will see it settle.
    if (followed && (this.#users === 0 || (await fileVersion(this.#file)) !== version)) return;
    this.#taken = version;
    this.#use.taken(value);
  }
}

/** When what is written reaches the disk, and not only the operating system (fdatasync). */

/** An open file. */
interface OpenFile {
  /** Writes what the operating system keeps of it to the disk. */
  datasync(): Promise<void>;
}

/** `'always'` before the next write, `'never'`, or at most so many milliseconds after it. */
export type SyncPolicy = 'always' | 'never' | number;

/** One per file sink. */
export class Syncing {
  readonly #policy: SyncPolicy;
  #timer: NodeJS.Timeout | undefined;
  #under: Promise<void> | undefined;
  #error: unknown;

  constructor(policy: SyncPolicy) {
    this.#policy = policy;
  }

  /** Something was written. @throws what an earlier sync threw: what it was about may be lost */
  async written(file: OpenFile): Promise<void> {
    this.#complain();
    if (this.#policy === 'always') await file.datasync();
    if (typeof this.#policy !== 'number' || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#under = file.datasync().then(
        () => (this.#timer = this.#under = undefined),
        (error: unknown) => {
          this.#error = error;
          this.#timer = this.#under = undefined;
        },
      );
    }, this.#policy);
    this.#timer.unref();
  }

  /** The file is about to be closed. */
  async stop(file: OpenFile): Promise<void> {
    clearTimeout(this.#timer);
    await this.#under;
    this.#timer = undefined;
    if (this.#policy !== 'never') await file.datasync();
    this.#complain();
  }

  #complain(): void {
    const error = this.#error;
    this.#error = undefined;
    if (error instanceof Error) throw error;
  }
}

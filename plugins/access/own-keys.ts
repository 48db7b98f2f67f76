/** The keys of one issuer while the gateway runs: turned on their schedule, and kept on disk where the config says so. */
import type { Logger } from '../../core/index.ts';
import { readKeys, writeKeys } from './key-file.ts';
import { KeyRing } from './key-ring.ts';
import type { Schedule, SigningKey } from './key-ring.ts';

/** Longest pause between two looks at the schedule, in milliseconds. */
const LONGEST_PAUSE_MS = 600_000;

/** One per gateway and issuer; outlives reloads. */
export class OwnKeys {
  readonly #file: string | undefined;
  #ring = new KeyRing();
  #loading: Promise<void> | undefined;
  /** What is in memory is not on disk yet. */
  #unsaved = false;
  #saving: Promise<void> = Promise.resolve();

  /** @param file absolute. Default: in memory only */
  constructor(file: string | undefined) {
    this.#file = file;
  }

  /** Reads the keys unless that has been, and sees to it that there is one. @throws Error if the file cannot be used */
  async open(schedule: Schedule, log: Logger): Promise<() => void> {
    this.#loading ??= this.#load();
    await this.#loading.catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    this.#turn(schedule);
    await this.#save();
    const pause = Math.min(LONGEST_PAUSE_MS, schedule.aheadMs / 4);
    const timer = setInterval(() => {
      this.#look(schedule, log);
    }, pause).unref();
    return () => {
      clearInterval(timer);
    };
  }

  /** The key that signs now. */
  current(): SigningKey {
    return this.#ring.current(Date.now());
  }

  /** The public keys. */
  published(): { readonly keys: readonly object[] } {
    return this.#ring.published();
  }

  async #load(): Promise<void> {
    if (this.#file !== undefined) this.#ring = new KeyRing(await readKeys(this.#file));
  }

  #turn(schedule: Schedule): boolean {
    const changed = this.#ring.turn(schedule, Date.now());
    this.#unsaved ||= changed;
    return changed;
  }

  #look(schedule: Schedule, log: Logger): void {
    const changed = this.#turn(schedule);
    if (changed) log.info({ keys: this.#ring.keys.map(({ kid }) => kid) }, 'signing keys turned');
    this.#save().catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : 'unknown';
      log.error({ reason }, 'signing keys not kept on disk');
    });
  }

  /** One after the other; what failed is tried again at the next look. */
  #save(): Promise<void> {
    const write = async (): Promise<void> => {
      if (!this.#unsaved || this.#file === undefined) return;
      this.#unsaved = false;
      try {
        await writeKeys(this.#file, this.#ring.keys);
      } catch (error) {
        this.#unsaved = true;
        throw error;
      }
    };
    this.#saving = this.#saving.catch(() => {}).then(write);
    return this.#saving;
  }
}

/** The keys of one issuer while the gateway runs: turned on their schedule, and kept on disk where the config says so. */
import type { Board, GatewayHandle, Logger } from '../../core/index.ts';
import { readKey, readKeys, writeKey, writeKeys } from './key-file.ts';
import type { WrittenKey } from './key-file.ts';
import { KeyRing } from './key-ring.ts';
import type { Schedule, SigningKey } from './key-ring.ts';
import { otherValue } from './other-value.ts';

/** Longest pause between two looks at the schedule, in milliseconds. */
const LONGEST_PAUSE_MS = 600_000;
/** The same while the store of a fleet has not taken the keys. */
const RETRY_MS = 2_000;
const RING = 'ring';

type WrittenRing = readonly WrittenKey[];

/** The store of the fleet does not answer: no instance may turn keys alone. */
class NotShared extends Error {}

/** One per worker and issuer, with the keys of all workers and instances; outlives reloads. */
export class OwnKeys {
  readonly #file: string | undefined;
  readonly #board: Board<WrittenRing>;
  #ring = new KeyRing();
  #loading: Promise<readonly SigningKey[]> | undefined;
  /** Text of the ring that is on disk. */
  #saved: string | undefined;
  #saving: Promise<void> = Promise.resolve();
  #users = 0;
  #unwatch: (() => void) | undefined;

  /** @param file absolute. Default: in memory only */
  constructor(file: string | undefined, board: Board<WrittenRing>) {
    this.#file = file;
    this.#board = board;
  }

  /** Reads the keys unless that has been, and sees to it that there is one. @throws Error if the file cannot be used */
  async open(schedule: Schedule, gateway: Pick<GatewayHandle, 'alone' | 'log'>): Promise<() => void> {
    this.#loading ??= this.#load();
    await this.#loading.catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    if (this.#users++ === 0) this.#unwatch = this.#board.watch(() => this.#take());
    const pause = Math.min(LONGEST_PAUSE_MS, schedule.aheadMs / 4);
    let timer: NodeJS.Timeout | undefined;
    let isOpen = true;
    const close = (): void => {
      isOpen = false;
      clearTimeout(timer);
      if (--this.#users === 0) this.#unwatch?.();
    };
    try {
      await this.#begin(schedule, gateway.log);
    } catch (error) {
      close();
      throw error;
    }
    const look = async (): Promise<void> => {
      const isShared = await this.#look(schedule, gateway.log);
      if (isOpen) timer = setTimeout(() => void look(), isShared ? pause : Math.min(pause, RETRY_MS)).unref();
    };
    // At once: the worker that was the lead may have ended before they were on disk.
    gateway.alone('turn signing keys', () => void look());
    return close;
  }

  /** Whether there is a key to sign with. */
  get canSign(): boolean {
    return this.#ring.keys.length > 0;
  }

  /** The key that signs now. */
  current(): SigningKey {
    return this.#ring.current(Date.now());
  }

  /** The public keys. */
  published(): { readonly keys: readonly object[] } {
    return this.#ring.published();
  }

  #load(): Promise<readonly SigningKey[]> {
    return this.#file === undefined ? Promise.resolve([]) : readKeys(this.#file);
  }

  /** Where the store of the fleet does not answer: goes on with the keys that it had, or those on disk. @throws Error if the file cannot be used */
  async #begin(schedule: Schedule, log: Logger): Promise<void> {
    try {
      // Who has put the keys there writes them as well: the others need not.
      if (await this.#turn(schedule)) await this.#save();
    } catch (error) {
      if (!(error instanceof NotShared)) throw error;
      if (this.#board.get(RING)) this.#take();
      else this.#ring = new KeyRing(await this.#loading);
      log.warn({ keys: this.#ring.keys.map(({ kid }) => kid) }, 'signing keys not shared with the fleet yet');
    }
  }

  #take(): void {
    const written = this.#board.get(RING);
    if (written) this.#ring = new KeyRing(written.map(readKey));
  }

  /** The keys of all workers, turned as the schedule says. Whether this worker has changed them, or found them on disk alone. */
  async #turn(schedule: Schedule): Promise<boolean> {
    for (;;) {
      const before = this.#board.get(RING);
      const ring = new KeyRing(before ? before.map(readKey) : await this.#loading);
      const changed = ring.turn(schedule, Date.now());
      if (!changed && before) {
        this.#take();
        return false;
      }
      const put = await this.#board
        .put(RING, ring.keys.map(writeKey), { expected: before })
        .catch((cause: unknown) => {
          throw new NotShared('the store of the fleet does not answer', { cause });
        });
      if (!put) await otherValue(this.#board, RING, before);
      this.#take();
      if (!put) continue;
      if (!changed) this.#saved = this.#text();
      return true;
    }
  }

  /** Whether the keys are what all have. Never rejects. */
  async #look(schedule: Schedule, log: Logger): Promise<boolean> {
    try {
      const changed = await this.#turn(schedule);
      if (changed) log.info({ keys: this.#ring.keys.map(({ kid }) => kid) }, 'signing keys turned');
      await this.#save();
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      if (error instanceof NotShared) log.warn({ reason }, 'signing keys not turned');
      else log.error({ reason }, 'signing keys not kept on disk');
      return !(error instanceof NotShared);
    }
  }

  #text(): string {
    return JSON.stringify(this.#board.get(RING));
  }

  /** One after the other; what failed is tried again at the next look. Keys that have changed meanwhile are written as well. */
  #save(): Promise<void> {
    const write = async (): Promise<void> => {
      while (this.#file !== undefined && this.#saved !== this.#text()) {
        const text = this.#text();
        await writeKeys(this.#file, this.#ring.keys);
        this.#saved = text;
      }
    };
    this.#saving = this.#saving.catch(() => {}).then(write);
    return this.#saving;
  }
}

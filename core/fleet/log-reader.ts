/** Reads what comes for an instance: changes of its boards, and its post. */
import { inTime, LATE, pause } from './parts.ts';
import type { MemberParts } from './parts.ts';
import type { Read } from './store.ts';

/** How long one reading waits for something, in milliseconds. */
const READ_MS = 1_000;
/** Readings that fail for so long are not about to succeed, in milliseconds. */
const FAILING_MS = 1_500;
/** After a reading that failed, in milliseconds. */
const PAUSE_MS = 100;

interface ReaderParts extends MemberParts {
  readonly positions: () => Readonly<Record<string, number>>;
  readonly changes: (board: string, changes: Read['changes'][string]) => void;
  readonly post: (text: string) => void;
}

/** One per member. */
export class LogReader {
  readonly #parts: ReaderParts;
  #position = '0';
  /** By the timers. */
  #failingSince: number | undefined;
  #closed = false;

  constructor(parts: ReaderParts) {
    this.#parts = parts;
  }

  /** False: readings have failed for a while, although the store answers. */
  get reads(): boolean {
    return this.#parts.timers.now() - (this.#failingSince ?? Infinity) < FAILING_MS;
  }

  /** The store does not answer: that no reading succeeds says nothing more. */
  storeFails(): void {
    this.#failingSince = undefined;
  }

  /** The store is another one: where its post was read up to means nothing. */
  beginAnew(): void {
    this.#position = '0';
  }

  async run(): Promise<void> {
    while (!this.#closed) {
      // Whatever is wrong with one reading, it is not the last.
      const read = await this.#read().catch(() => false);
      this.#failingSince = read ? undefined : (this.#failingSince ?? this.#parts.timers.now());
      if (!read) await pause(this.#parts.timers, PAUSE_MS);
    }
  }

  close(): void {
    this.#closed = true;
  }

  /** False: it failed. */
  async #read(): Promise<boolean> {
    const { id, store, timers, timeoutMs, positions } = this.#parts;
    const from = this.#position;
    const reading = store.read(id, { boards: positions(), post: from }, READ_MS);
    const read = await inTime(timers, READ_MS + timeoutMs, reading).catch(() => LATE);
    if (read === LATE || typeof read === 'symbol') return false;
    if (this.#closed) return true;
    if (this.#position === from) this.#position = read.postPosition;
    for (const [board, changes] of Object.entries(read.changes)) this.#parts.changes(board, changes);
    for (const text of read.post) this.#parts.post(text);
    return true;
  }
}

/** The store of a fleet in memory as one instance reaches it: it can be cut off. */
import type {
  Beat,
  FleetStore,
  Read,
  Snapshot,
  StoredChange,
  StoredInstance,
  StoredPlace,
  Taken,
} from '../../core/fleet/store.ts';
import type { MemoryStore } from './memory-store.ts';

/** What its connection loses: requests, so that nothing is done; answers, so that what was asked is done; or nothing. */
export type Losing = 'requests' | 'answers' | undefined;

/** One per instance. */
export class MemoryClient implements FleetStore {
  /** Set it to cut it off. */
  losing: Losing;
  /** How late answers are, in milliseconds. */
  latencyMs = 0;
  readonly #store: MemoryStore;
  readonly #pending = new Set<(error: Error) => void>();
  readonly #numbers = new Map<string, number>();
  #closed = false;

  constructor(store: MemoryStore) {
    this.#store = store;
  }

  async beat(own: StoredInstance, boards: readonly string[], livesMs: number): Promise<Beat> {
    const wish = this.#numbers.get(own.id);
    const beat = await this.#ask(() => this.#store.beat(own, boards, livesMs, wish));
    if (beat.number !== undefined) this.#numbers.set(own.id, beat.number);
    return beat;
  }

  leave(id: string): Promise<void> {
    return this.#ask(() => this.#store.leave(id));
  }

  take(id: string, places: readonly StoredPlace[]): Promise<Taken> {
    return this.#ask(() => this.#store.take(id, places));
  }

  count(id: string, counts: readonly (readonly [key: string, mine: number])[]): Promise<boolean> {
    return this.#ask(() => this.#store.count(id, counts));
  }

  change(
    board: string,
    change: StoredChange,
    expected: string | null | undefined,
  ): Promise<number | undefined> {
    return this.#ask(() => this.#store.change(board, change, expected));
  }

  snapshot(board: string): Promise<Snapshot> {
    return this.#ask(() => this.#store.snapshot(board));
  }

  read(id: string, after: Parameters<FleetStore['read']>[1], withinMs: number): Promise<Read> {
    return this.#answered(withinMs, (answer) => {
      const stop = this.#store.whenChanged(() => look());
      const end = (read: Read): void => {
        stop();
        cancel();
        answer(read);
      };
      const cancel = this.#store.timers.after(withinMs, () =>
        end({ changes: {}, post: [], postPosition: after.post }),
      );
      const look = (): void => {
        const read = this.#store.unread(id, after);
        if (read) end(read);
      };
      look();
    });
  }

  post(to: string, text: string): Promise<void> {
    return this.#ask(() => this.#store.post(to, text));
  }

  lock(task: string, id: string, livesMs: number): Promise<boolean> {
    return this.#ask(() => this.#store.lock(task, id, livesMs));
  }

  unlock(task: string, id: string): Promise<void> {
    return this.#ask(() => this.#store.unlock(task, id));
  }

  connect(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.#closed = true;
    for (const fail of this.#pending) fail(new Error('the store is closed'));
  }

  #ask<T>(run: () => T): Promise<T> {
    return this.#answered(0, (answer) => answer(run()));
  }

  /** Rejects where no answer comes in time. */
  #answered<T>(withinMs: number, run: (answer: (value: T) => void) => void): Promise<T> {
    if (this.#closed) return Promise.reject(new Error('the store is closed'));
    const { timers, timeoutMs } = this.#store;
    return new Promise<T>((resolve, reject) => {
      const fail = (error: Error): void => {
        cancel();
        this.#pending.delete(fail);
        reject(error);
      };
      const done = (value: T): void => {
        cancel();
        this.#pending.delete(fail);
        resolve(value);
      };
      const cancel = timers.after(withinMs + timeoutMs, () =>
        fail(new Error(`no answer within ${timeoutMs} ms`)),
      );
      this.#pending.add(fail);
      if (this.losing === 'requests') return;
      run((value) => {
        if (this.losing !== undefined) return;
        if (this.latencyMs === 0) done(value);
        else timers.after(this.latencyMs, () => this.losing === undefined && done(value));
      });
    });
  }
}

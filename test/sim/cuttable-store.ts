/** A store that one instance can be cut off from: what it asks then has no answer in time. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetStore } from '../../core/fleet/store.ts';

/** One per instance. */
export class CuttableStore implements FleetStore {
  /** Set it to cut it off. */
  cut = false;
  readonly #store: FleetStore;
  readonly #timeoutMs: number;

  constructor(store: FleetStore, timeoutMs: number) {
    this.#store = store;
    this.#timeoutMs = timeoutMs;
  }

  readonly beat: FleetStore['beat'] = (...given) => this.#ask(() => this.#store.beat(...given));
  readonly leave: FleetStore['leave'] = (...given) => this.#ask(() => this.#store.leave(...given));
  readonly take: FleetStore['take'] = (...given) => this.#ask(() => this.#store.take(...given));
  readonly count: FleetStore['count'] = (...given) => this.#ask(() => this.#store.count(...given));
  readonly change: FleetStore['change'] = (...given) => this.#ask(() => this.#store.change(...given));
  readonly snapshot: FleetStore['snapshot'] = (...given) => this.#ask(() => this.#store.snapshot(...given));
  readonly read: FleetStore['read'] = (...given) => this.#ask(() => this.#store.read(...given));
  readonly post: FleetStore['post'] = (...given) => this.#ask(() => this.#store.post(...given));
  readonly lock: FleetStore['lock'] = (...given) => this.#ask(() => this.#store.lock(...given));
  readonly unlock: FleetStore['unlock'] = (...given) => this.#ask(() => this.#store.unlock(...given));

  connect(): Promise<void> {
    return this.#store.connect();
  }

  close(): void {
    this.#store.close();
  }

  /** An answer that comes while it is cut off is lost as well. */
  async #ask<T>(ask: () => Promise<T>): Promise<T> {
    if (!this.cut) {
      const answer = await ask();
      if (!this.cut) return answer;
    }
    await sleep(this.#timeoutMs);
    throw new Error('cut off');
  }
}

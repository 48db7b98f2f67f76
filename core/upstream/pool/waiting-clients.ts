/** The queue of a pool: identities are served in rotation, within one identity first come, first served. */

/** An entry of the queue. */
interface QueueEntry {
  /** The identity whose turn is counted. */
  readonly owner: { readonly fingerprint: string };
  /** When it came, by the pool's clock. */
  readonly since: number;
}

/** A queue that a thousand requests of one identity cannot keep another identity out of. */
export class WaitingClients<W extends QueueEntry> {
  /** By fingerprint, the next turn first. */
  readonly #lines = new Map<string, W[]>();
  /** In the order of arrival. */
  readonly #all = new Set<W>();

  get size(): number {
    return this.#all.size;
  }

  /** The one that has waited longest of those that count; undefined if there is none. */
  oldest(counts: (waiter: W) => boolean): W | undefined {
    for (const waiter of this.#all) if (counts(waiter)) return waiter;
    return undefined;
  }

  /** The one whose turn is next; undefined if the queue is empty. */
  get next(): W | undefined {
    for (const line of this.#lines.values()) return line[0];
    return undefined;
  }

  /** A request that returns to the queue comes after all others, and `since` is when it returned. */
  add(waiter: W): void {
    this.#all.add(waiter);
    const line = this.#lines.get(waiter.owner.fingerprint);
    if (line) line.push(waiter);
    else this.#lines.set(waiter.owner.fingerprint, [waiter]);
  }

  /** Removes one. `served`: the identity has had its turn, and its next one comes after all others'. */
  remove(waiter: W, served: boolean): void {
    if (!this.#all.delete(waiter)) return;
    const { fingerprint } = waiter.owner;
    const line = this.#lines.get(fingerprint) ?? [];
    if (line[0] === waiter) line.shift();
    else line.splice(line.indexOf(waiter), 1);
    if (line.length === 0) this.#lines.delete(fingerprint);
    else if (served && this.#lines.size > 1) {
      this.#lines.delete(fingerprint);
      this.#lines.set(fingerprint, line);
    }
  }

  /** All by turn: the first of each identity, then the second of each. Stop before you add or remove. */
  *inTurn(): Generator<W, void> {
    for (let place = 0, found = true; found; place += 1) {
      found = false;
      for (const line of this.#lines.values()) {
        const waiter = line[place];
        if (!waiter) continue;
        found = true;
        yield waiter;
      }
    }
  }

  /** All in the order of arrival; a copy. */
  all(): readonly W[] {
    return [...this.#all];
  }
}

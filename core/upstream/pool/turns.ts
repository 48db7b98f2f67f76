/** Who waits, and whose turn it is: among identities in rotation, within one identity first come, first served. */

/** Somebody in the queue. */
export interface Waiting {
  /** Whom the turn is counted for. */
  readonly owner: { readonly fingerprint: string };
}

/** A queue that a thousand requests of one identity cannot keep another identity out of. */
export class Turns<W extends Waiting> {
  /** By fingerprint, the next turn first. */
  readonly #lines = new Map<string, W[]>();
  /** In the order of arrival. */
  readonly #all = new Set<W>();

  get size(): number {
    return this.#all.size;
  }

  /** Who has waited longest; undefined if nobody waits. */
  get oldest(): W | undefined {
    const [first] = this.#all;
    return first;
  }

  add(waiter: W): void {
    this.#all.add(waiter);
    const line = this.#lines.get(waiter.owner.fingerprint);
    if (line) line.push(waiter);
    else this.#lines.set(waiter.owner.fingerprint, [waiter]);
  }

  /** Takes somebody out. `served`: the identity has had its turn, and the next one is behind all others'. */
  remove(waiter: W, served: boolean): void {
    if (!this.#all.delete(waiter)) return;
    const { fingerprint } = waiter.owner;
    const line = this.#lines.get(fingerprint) ?? [];
    line.splice(line.indexOf(waiter), 1);
    if (served || line.length === 0) this.#lines.delete(fingerprint);
    if (line.length > 0) this.#lines.set(fingerprint, line);
  }

  /** Everybody by turn: the first of each identity, then the second of each. Stop before you add or remove. */
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

  /** Everybody in the order of arrival; a copy. */
  all(): readonly W[] {
    return [...this.#all];
  }
}

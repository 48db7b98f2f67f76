/** Counts open sessions by what they have in common: nothing is counted that is over the limit. */

/** One thing to count by, and how many there may be. */
export interface Place {
  /** Equal for sessions that are counted together. */
  readonly key: string;
  readonly limit: number;
  /** What the client reads, as PostgreSQL has it: `too many connections for …`. */
  readonly whose: string;
  /** What sets the limit, and for whom, for the operator's log. */
  readonly by: string;
}

/** Exact, since taking is one step: no two logins can take the last place. Survives a reload. */
export class Connections {
  readonly #counts = new Map<string, number>();

  /** How many keys are counted: no more than there are sessions. */
  get size(): number {
    return this.#counts.size;
  }

  count(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  /** Takes all places or none: the first that is full, or what gives them back. Call that once. */
  take(places: readonly Place[]): { readonly full: Place } | { readonly giveBack: () => void } {
    const full = places.find(({ key, limit }) => this.count(key) >= limit);
    if (full) return { full };
    for (const { key } of places) this.#counts.set(key, this.count(key) + 1);
    return { giveBack: () => this.#giveBack(places) };
  }

  #giveBack(places: readonly Place[]): void {
    for (const { key } of places) {
      const left = this.count(key) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    }
  }
}

/** Changes of what statements are, made when a message is sent and confirmed, or taken back, by what becomes of it. */
import type { Note } from './entries.ts';
import type { Ledger } from './ledger.ts';

/** One change as the ledger keeps it. */
export type Change = Required<Pick<Note, 'closed' | 'dropped'>>;

/** How many are owed for one name, and the batch that made the newest. */
interface Owed {
  count: number;
  batch: number;
}

/** One per session; the names are whatever its user calls things. */
export class OwedChanges {
  readonly #ledger: Ledger;
  readonly #byName = new Map<string, Owed>();

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Nothing is owed. */
  get none(): boolean {
    return this.#byName.size === 0;
  }

  /** True while it may yet turn out that an earlier batch has not made the newest change: an error there drops it. */
  has(name: string): boolean {
    return (this.#byName.get(name)?.batch ?? Infinity) < this.#ledger.batch.syncs;
  }

  /** A change begins; `dropped` takes it back. */
  add(name: string, closed: () => void, dropped: () => void): Change {
    const owed = this.#byName.get(name) ?? { count: 0, batch: 0 };
    owed.count += 1;
    owed.batch = this.#ledger.batch.syncs;
    this.#byName.set(name, owed);
    const settle = (then: () => void) => (): void => {
      owed.count -= 1;
      if (owed.count === 0) this.#byName.delete(name);
      then();
    };
    return { closed: settle(closed), dropped: settle(dropped) };
  }
}

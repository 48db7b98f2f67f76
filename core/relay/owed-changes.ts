/** Changes of prepared statements that are made when a message is sent, and confirmed or undone by its answer. */
import type { Note } from './entries.ts';
import type { Ledger } from './ledger.ts';

/** One change, as a note for the ledger. */
export type Change = Required<Pick<Note, 'closed' | 'dropped'>>;

/** The number of unconfirmed changes of one name, and the batch that made the newest. */
export interface Owed {
  count: number;
  batch: number;
}

/** Unconfirmed changes by a name that the owner chooses. */
export class OwedChanges {
  readonly #ledger: Ledger;
  /** Made for the first change: most sessions prepare nothing. */
  #byName: Map<string, Owed> | undefined;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Every change is confirmed or undone. */
  get none(): boolean {
    return this.#byName === undefined || this.#byName.size === 0;
  }

  /** True while an error in an earlier batch may still undo the newest change of the name. */
  has(name: string): boolean {
    return (this.#byName?.get(name)?.batch ?? Infinity) < this.#ledger.batch.syncs;
  }

  /** A change is made; {@link end} must be called when it is confirmed or undone. */
  begin(name: string): Owed {
    const byName = (this.#byName ??= new Map());
    let owed = byName.get(name);
    if (!owed) byName.set(name, (owed = { count: 0, batch: 0 }));
    owed.count += 1;
    owed.batch = this.#ledger.batch.syncs;
    return owed;
  }

  /** A change of the name is confirmed or undone. */
  end(name: string, owed: Owed): void {
    owed.count -= 1;
    if (owed.count === 0) this.#byName?.delete(name);
  }

  /** A change is made; `dropped` undoes it. */
  add(name: string, closed: () => void, dropped: () => void): Change {
    const owed = this.begin(name);
    const settle = (then: () => void) => (): void => {
      this.end(name, owed);
      then();
    };
    return { closed: settle(closed), dropped: settle(dropped) };
  }
}

/** Changes that this instance has made, and what others have changed meanwhile: the store's order decides, and an own change is in force before the store has it. */
import type { ReadChange } from './texts.ts';

/** Of one id. */
interface Own {
  /** As the store has it: says whether a change that was read is this one. */
  readonly text: string;
  told: (seq: number) => void;
  /** Undefined: the store has not said. */
  seq: number | undefined;
  /** The last change of another instance that was read before the place of this one was known. */
  held: { readonly seq: number; readonly change: ReadChange } | undefined;
}

/** Of one board. */
export class Unconfirmed {
  readonly #own = new Map<string, Own>();

  /** An own change begins. What it returns resolves with its place, or that of a later one of the same id. */
  begin(id: string, text: string): Promise<number> {
    return new Promise((resolve) => {
      const before = this.#own.get(id);
      const told = before?.seq === undefined ? both(before?.told, resolve) : resolve;
      this.#own.set(id, { text, told, seq: undefined, held: before?.held });
    });
  }

  /** Whether the store is still to be told of this one. */
  waits(id: string, text: string): boolean {
    const own = this.#own.get(id);
    return own?.text === text && own.seq === undefined;
  }

  /** Whether the store is still to be told of a change of this id. */
  has(id: string): boolean {
    const own = this.#own.get(id);
    return own !== undefined && own.seq === undefined;
  }

  /** Resolves when the store has been told of all that there are now. */
  async all(): Promise<void> {
    const open = [...this.#own.values()].filter(({ seq }) => seq === undefined);
    await Promise.all(open.map((own) => new Promise<number>((told) => (own.told = both(own.told, told)))));
  }

  /** The store has put it there; `read`: up to where its log was read. Returns a change that was read and is a later one. */
  told(id: string, text: string, seq: number, read: number): ReadChange | undefined {
    const own = this.#own.get(id);
    if (own?.text !== text || own.seq !== undefined) return undefined;
    own.seq = seq;
    if (read >= seq) this.#own.delete(id);
    own.told(seq);
    return own.held && own.held.seq > seq ? own.held.change : undefined;
  }

  /** A change was read: true where it comes into force here, and not an own one that comes later or is already. */
  admits(seq: number, text: string, change: ReadChange): boolean {
    const { id } = change.entry;
    const own = this.#own.get(id);
    if (!own) return true;
    if (own.text === text) {
      this.#own.delete(id);
      if (own.seq === undefined) own.told(seq);
      return false;
    }
    if (own.seq === undefined) own.held = { seq, change };
    return false;
  }

  /** All was read anew, as of the change `seq`. Returns the ids whose own change is not in that. `lost`: the places that the store had told mean nothing any more. */
  readAnew(seq: number, lost: boolean): ReadonlySet<string> {
    for (const [id, own] of this.#own)
      if (own.seq === undefined) own.held = undefined;
      else if (lost || own.seq <= seq) this.#own.delete(id);
    return new Set(this.#own.keys());
  }
}

const both =
  (one: ((seq: number) => void) | undefined, other: (seq: number) => void) =>
  (seq: number): void => {
    one?.(seq);
    other(seq);
  };

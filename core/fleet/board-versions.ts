/** Which of two values of an id is later. The log says it, but where the store has lost a part of the log. */
import type { BoardEntry } from '../workers/messages.ts';
import type { DatedChange, ReadChange } from './texts.ts';

/** So many drops are remembered: the store may have lost them. */
const DROPS = 10_000;
/** Values whose time is over are forgotten after so many changes. */
const FORGOTTEN_AFTER = 1_000;

/** A change that the store has lost, and the tag of what it has instead; null: nothing. */
export interface Restored {
  readonly change: DatedChange;
  readonly tag: string | null;
}

/** What a board is to be, and what the store is to be told. */
export interface Merged {
  readonly entries: readonly BoardEntry[];
  readonly changed: boolean;
  readonly restored: readonly Restored[];
}

/** Of one board. */
export class BoardVersions {
  readonly #clock: () => number;
  #known = new Map<string, { readonly at: number; readonly until: number | undefined }>();
  readonly #dropped = new Map<string, number>();
  #sets = 0;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** A change of this instance, later than all that are known of the id. */
  dated(entry: BoardEntry): DatedChange {
    return { entry, at: Math.max(this.#clock(), this.#at(entry.id) + 1) };
  }

  /** It is in force. */
  set({ entry: { id, value, until }, at }: DatedChange): void {
    if (value !== undefined) {
      this.#known.set(id, { at, until });
      this.#dropped.delete(id);
    } else {
      this.#known.delete(id);
      this.#dropped.delete(id);
      this.#dropped.set(id, at);
    }
    if (this.#dropped.size > DROPS)
      for (const first of this.#dropped.keys()) return void this.#dropped.delete(first);
    this.#sets += 1;
    if (this.#sets % FORGOTTEN_AFTER === 0) this.#forget();
  }

  /** What is to be put again instead of a change that was put again: undefined where no later one is known here. */
  later(
    { entry: { id }, at, again = false, tag }: ReadChange,
    current: readonly BoardEntry[],
  ): Restored | undefined {
    const mine = this.#at(id);
    if (!again || mine <= at) return undefined;
    const entry = current.find((one) => one.id === id) ?? { id };
    return { change: { entry, at: mine }, tag: tag ?? null };
  }

  /**
   * What the store has now, over what this instance has. Those of `own` stay as they are here: the store is still to be told of them. `lost`: the store may have lost
   * changes, and the later one of two holds; else what the store does not have was dropped.
   */
  merge(
    stored: readonly ReadChange[],
    current: readonly BoardEntry[],
    own: ReadonlySet<string>,
    lost: boolean,
  ): Merged {
    const here = new Map(current.map((entry) => [entry.id, entry]));
    const entries = new Map<string, BoardEntry>();
    const restored: Restored[] = [];
    let changed = false;
    const there = new Set<string>();
    for (const change of stored) {
      const { id } = change.entry;
      there.add(id);
      if (own.has(id)) continue;
      const at = this.#at(id);
      const mine = here.get(id);
      if ((lost || change.again) && at > change.at) {
        if (mine) entries.set(id, mine);
        restored.push({ change: { entry: mine ?? { id }, at }, tag: change.tag ?? null });
        continue;
      }
      entries.set(id, change.entry);
      if (!mine || at !== change.at) changed = true;
      this.set(change);
    }
    for (const entry of current) {
      const { id } = entry;
      if (own.has(id)) entries.set(id, entry);
      else if (!there.has(id) && lost) {
        entries.set(id, entry);
        restored.push({ change: { entry, at: this.#at(id) }, tag: null });
      } else if (!there.has(id)) {
        changed = true;
        this.#known.delete(id);
      }
    }
    return { entries: [...entries.values()], changed, restored };
  }

  /** When the id was last changed; 0: not known. */
  #at(id: string): number {
    return this.#known.get(id)?.at ?? this.#dropped.get(id) ?? 0;
  }

  #forget(): void {
    const now = this.#clock();
    for (const [id, { until = Infinity }] of this.#known) if (until <= now) this.#known.delete(id);
  }
}

/** One copy of a board: the values, their ends, and whoever watches. */
import type { BoardChange } from '../contract/board.ts';
import type { BoardEntry } from './messages.ts';

/** The longest time of a timer of Node, in milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;

/** Changes come in the same order to all copies. Values leave it when their time is over, by the clock of this process. */
export class BoardCopy {
  readonly #entries = new Map<string, BoardEntry>();
  readonly #watching = new Set<(change: BoardChange<unknown>) => void>();
  #timer: NodeJS.Timeout | undefined;
  /** When the timer is over: no value leaves before. */
  #next = Infinity;

  /** Those whose time is not over. */
  get entries(): readonly BoardEntry[] {
    this.#dropOutdated();
    return [...this.#entries.values()];
  }

  get(id: string): unknown {
    return this.#current(id)?.value;
  }

  all(): ReadonlyMap<string, unknown> {
    return new Map(this.entries.map(({ id, value }) => [id, value]));
  }

  watch(changed: (change: BoardChange<unknown>) => void): () => void {
    this.#watching.add(changed);
    return () => void this.#watching.delete(changed);
  }

  /** Whether the value is this one, as JSON; null: there is none. */
  has(id: string, expected: string | null): boolean {
    const entry = this.#current(id);
    return entry ? JSON.stringify(entry.value) === expected : expected === null;
  }

  apply(entry: BoardEntry): void {
    const { id, value } = entry;
    if (value !== undefined) {
      this.#entries.set(id, entry);
      this.#leavesAt(entry.until);
      this.#tell({ kind: 'put', id, value });
    } else if (this.#entries.delete(id)) this.#tell({ kind: 'dropped', id });
  }

  /** Takes the place of all that was there: changes between may be missing. */
  replace(entries: readonly BoardEntry[]): void {
    this.#entries.clear();
    for (const entry of entries) {
      this.#entries.set(entry.id, entry);
      this.#leavesAt(entry.until);
    }
    this.#tell({ kind: 'missed' });
  }

  /** Ends its timer. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #current(id: string): BoardEntry | undefined {
    const entry = this.#entries.get(id);
    return entry && entry.until !== undefined && entry.until <= Date.now() ? undefined : entry;
  }

  #dropOutdated(): void {
    const now = Date.now();
    for (const { id, until } of this.#entries.values())
      if (until !== undefined && until <= now) this.apply({ id });
  }

  /** All values are looked at when the timer is over, and not with each change: there may be many. */
  #leavesAt(until = Infinity): void {
    if (until >= this.#next) return;
    clearTimeout(this.#timer);
    this.#next = until;
    const ms = Math.min(Math.max(1, until - Date.now()), LONGEST_MS);
    this.#timer = setTimeout(() => {
      this.#next = Infinity;
      this.#dropOutdated();
      for (const entry of this.#entries.values()) this.#leavesAt(entry.until);
    }, ms).unref();
  }

  #tell(change: BoardChange<unknown>): void {
    for (const hear of this.#watching) hear(change);
  }
}

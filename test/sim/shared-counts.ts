/** What the threads of a simulation count together, in memory that they share. */

const NAMES = [
  'joined',
  'logins',
  'refused',
  'revocations',
  'deaths',
  'cuts',
  'aboveReached',
  'aboveCut',
] as const;
/** Each key has a number of sessions behind them. */
export const KEYS = 50;

type Name = (typeof NAMES)[number];

/** One per thread, all over the same memory. */
export class SharedCounts {
  readonly memory: SharedArrayBuffer;
  readonly #numbers: Int32Array;

  constructor(memory = new SharedArrayBuffer(4 * (NAMES.length + KEYS))) {
    this.memory = memory;
    this.#numbers = new Int32Array(memory);
  }

  get(name: Name): number {
    return Atomics.load(this.#numbers, NAMES.indexOf(name));
  }

  add(name: Name, by = 1): void {
    Atomics.add(this.#numbers, NAMES.indexOf(name), by);
  }

  /** At least so many. */
  raise(name: Name, to: number): void {
    const at = NAMES.indexOf(name);
    for (let now = Atomics.load(this.#numbers, at); now < to;)
      now = Atomics.compareExchange(this.#numbers, at, now, to);
  }

  /** Sessions of a key begin or end. @returns how many there are now */
  sessions(key: number, by: number): number {
    return Atomics.add(this.#numbers, NAMES.length + key, by) + by;
  }
}

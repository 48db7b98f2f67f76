/** A queue in a ring: values in the order in which they came. */

/** Places of a new queue: more are rarely in use. */
const PLACES = 8;

/** First in, first out; grows by doubling, never shrinks. */
export class RingQueue<T> {
  #ring = Array.from<T | undefined>({ length: PLACES });
  #first = 0;
  #next = 0;

  /** The oldest. */
  get first(): T | undefined {
    return this.at(0);
  }

  /** The one `index` places behind the oldest, which must be there. */
  at(index: number): T | undefined {
    return this.#ring[(this.#first + index) & (this.#ring.length - 1)];
  }

  push(value: T): void {
    if (this.#next - this.#first === this.#ring.length) this.#grow();
    this.#ring[this.#next & (this.#ring.length - 1)] = value;
    this.#next += 1;
  }

  /** Removes the oldest. */
  shift(): T | undefined {
    if (this.#first === this.#next) return undefined;
    const place = this.#first & (this.#ring.length - 1);
    const value = this.#ring[place];
    // It must not stay in memory.
    this.#ring[place] = undefined;
    this.#first += 1;
    return value;
  }

  /** Makes a value the oldest again, behind at least one {@link shift}. */
  unshift(value: T): void {
    this.#first -= 1;
    this.#ring[this.#first & (this.#ring.length - 1)] = value;
  }

  #grow(): void {
    const larger = Array.from<T | undefined>({ length: this.#ring.length * 2 });
    for (let i = this.#first; i < this.#next; i += 1)
      larger[i & (larger.length - 1)] = this.#ring[i & (this.#ring.length - 1)];
    this.#ring = larger;
  }
}

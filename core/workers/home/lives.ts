/** Tells a worker from its successor, which has the same number: what the one has asked is not for the other. */

/** One per home of something. */
export class Lives {
  /** How many of each number have ended. */
  readonly #ended = new Map<number, number>();

  /** A function that says whether the worker that has this number now is still there. */
  of(worker: number): () => boolean {
    const life = this.#ended.get(worker);
    return () => this.#ended.get(worker) === life;
  }

  left(worker: number): void {
    this.#ended.set(worker, (this.#ended.get(worker) ?? 0) + 1);
  }
}

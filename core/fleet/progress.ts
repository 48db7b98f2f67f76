/** How far a log has come, and who waits for it. */
interface Waiting {
  seq: number;
  readonly reached: () => void;
}

/** Rises, but where the log itself begins anew. */
export class Progress {
  #value = 0;
  #waiting: Waiting[] = [];

  get value(): number {
    return this.#value;
  }

  raise(to: number): void {
    this.#value = Math.max(this.#value, to);
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ seq }) => seq > this.#value);
    for (const { seq, reached } of waiting) if (seq <= this.#value) reached();
  }

  /** The log has no places above `last` any more: who waits for one gets that instead. */
  lower(to: number, last: number): void {
    this.#value = to;
    for (const waiting of this.#waiting) waiting.seq = Math.min(waiting.seq, last);
  }

  reaches(seq: number): Promise<void> {
    if (this.#value >= seq) return Promise.resolve();
    return new Promise((reached) => this.#waiting.push({ seq, reached }));
  }
}

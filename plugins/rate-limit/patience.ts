/** Whether the store is silent: by what its connection owes, not by each question, and by how long answers have taken. */

/** The longest that answers are waited for, however late they have been: then the connection is made anew. Milliseconds. */
const LONGEST_MS = 5_000;
/** Answers may take so many times as long as the last one before it is silence; of what was learnt, this much stays with each. */
const [MARGIN, KEPT] = [2, 0.9];

/** How patient, and who hears that it was in vain. */
export interface PatienceParts {
  /** How long nothing may come while something is owed, in milliseconds. */
  readonly timeoutMs: number;
  /** True: whoever answers late is waited for longer the next time. */
  readonly learns: boolean;
  /** Something is owed, and nothing has come for so many milliseconds. */
  silent(ms: number): void;
}

/** One per connection. Its only timer runs while an answer is owed. */
export class Patience {
  readonly #parts: PatienceParts;
  #ms: number;
  #owed = 0;
  /** Since when nothing has come, in milliseconds. */
  #since = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: PatienceParts) {
    this.#parts = parts;
    this.#ms = parts.timeoutMs;
  }

  /** Something is asked. Call what is given when it is answered, or never will be; that gives the milliseconds it took. */
  ask(): (answered: boolean) => number {
    const at = performance.now();
    if (this.#owed === 0) this.#since = at;
    this.#owed += 1;
    this.#watch(this.#ms);
    return (answered) => this.#heard(at, answered);
  }

  #heard(askedAt: number, answered: boolean): number {
    const now = performance.now();
    this.#owed -= 1;
    this.#since = now;
    if (this.#owed === 0) this.#rest();
    else this.#watch(this.#ms);
    const ms = now - askedAt;
    const { learns, timeoutMs } = this.#parts;
    if (learns && answered)
      this.#ms = Math.max(timeoutMs, Math.min(Math.max(MARGIN * ms, KEPT * this.#ms), LONGEST_MS));
    return ms;
  }

  #watch(ms: number): void {
    // What came while this process was busy is read first.
    this.#timer ??= setTimeout(() => setImmediate(() => this.#look()), ms).unref();
  }

  #look(): void {
    this.#rest();
    if (this.#owed === 0) return;
    const left = this.#since + this.#ms - performance.now();
    if (left > 0) this.#watch(left);
    else this.#parts.silent(this.#ms);
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** How late the event loop is. */

const LOOK_MS = 100;
const KEPT = 10;

/** Looks ten times a second. */
export class LoopLag {
  readonly #late: number[] = [];
  readonly #timer: NodeJS.Timeout;
  #due = performance.now() + LOOK_MS;

  constructor() {
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** At most, within the last second, in milliseconds. */
  get ms(): number {
    const now = Math.max(0, Math.round(performance.now() - this.#due));
    return Math.max(now, ...this.#late);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    this.#late.push(Math.max(0, Math.round(now - this.#due)));
    if (this.#late.length > KEPT) this.#late.shift();
    this.#due = now + LOOK_MS;
  }
}

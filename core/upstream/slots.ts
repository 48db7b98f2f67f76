/** A fixed number of places, handed out first come, first served. */
import { GatewayError } from '../errors.ts';
import { within } from './deadline.ts';

/** Gives the place back; a second call does nothing. */
export type Vacate = () => void;

/** Places and the queue in front of them. */
export class Slots {
  readonly size: number;
  #used = 0;
  readonly #queue = new Set<(vacate: Vacate) => void>();

  constructor(size: number) {
    this.size = size;
  }

  /** Places taken now. */
  get used(): number {
    return this.#used;
  }

  /** How many wait for one. */
  get waiting(): number {
    return this.#queue.size;
  }

  /**
   * Takes a place, after everybody who asked earlier.
   * @throws GatewayError `too_many_connections` after `ms` milliseconds, or the signal's reason
   */
  async take(ms: number, signal: AbortSignal): Promise<Vacate> {
    signal.throwIfAborted();
    if (this.#used < this.size) return this.#occupy();
    const late = (): Error =>
      new GatewayError('too_many_connections', `no free connection to the database within ${ms / 1000} s`);
    return within(ms, signal, late, (inner) => this.#wait(inner));
  }

  #wait(signal: AbortSignal): Promise<Vacate> {
    return new Promise((resolve, reject) => {
      const admit = (vacate: Vacate): void => {
        signal.removeEventListener('abort', leave);
        resolve(vacate);
      };
      // Leaves in the abort itself: a moment later a place could have been given to somebody who is gone.
      const leave = (): void => {
        this.#queue.delete(admit);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#queue.add(admit);
    });
  }

  #occupy(): Vacate {
    this.#used += 1;
    let mine = true;
    return () => {
      if (!mine) return;
      mine = false;
      this.#used -= 1;
      this.#admitNext();
    };
  }

  #admitNext(): void {
    const [next] = this.#queue;
    if (!next || this.#used >= this.size) return;
    this.#queue.delete(next);
    next(this.#occupy());
  }
}

/** The places of all workers: counted here, or over all instances of a fleet. */
import type { PlacesRequest, PlacesTold } from '../messages.ts';
import type { CountedPlaces } from '../place-counts.ts';
import { reasonOf } from '../reason-of.ts';
import { Lives } from './lives.ts';

type Tell = (worker: number, message: PlacesTold) => void;

/** One for all workers. */
export class PlacesOfWorkers {
  readonly counts: CountedPlaces;
  readonly #tell: Tell;
  readonly #lives = new Lives();

  constructor(tell: Tell, counts: CountedPlaces) {
    this.#tell = tell;
    this.counts = counts;
  }

  hear(worker: number, message: PlacesRequest): void {
    if (message.t === 'give') return this.counts.give(worker, message.keys);
    const { q, places } = message;
    const answer = (full: string | undefined): void =>
      this.#tell(worker, { t: 'taken', q, ...(full !== undefined && { full }) });
    const taken = this.counts.take(
      worker,
      places.map(([key, limit]) => [key, limit ?? Infinity]),
    );
    if (!(taken instanceof Promise)) return answer(taken);
    const isThere = this.#lives.of(worker);
    taken.then(
      (full) => isThere() && answer(full),
      (error: unknown) => isThere() && this.#tell(worker, { t: 'taken', q, error: reasonOf(error) }),
    );
  }

  left(worker: number): void {
    this.#lives.left(worker);
    this.counts.left(worker);
  }
}

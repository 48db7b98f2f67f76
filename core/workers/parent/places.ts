/** The places of all workers, counted in the parent process. */
import type { PlacesRequest, PlacesTold } from '../messages.ts';
import { PlaceCounts } from '../place-counts.ts';

/** One per parent. */
export class Places {
  readonly counts = new PlaceCounts();
  readonly #tell: (worker: number, message: PlacesTold) => void;

  constructor(tell: (worker: number, message: PlacesTold) => void) {
    this.#tell = tell;
  }

  hear(worker: number, message: PlacesRequest): void {
    if (message.t === 'give') return this.counts.give(worker, message.keys);
    const full = this.counts.take(
      worker,
      message.places.map(([key, limit]) => [key, limit ?? Infinity]),
    );
    this.#tell(worker, { t: 'taken', q: message.q, ...(full !== undefined && { full }) });
  }

  left(worker: number): void {
    this.counts.left(worker);
  }
}

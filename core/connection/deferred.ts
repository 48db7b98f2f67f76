/** What plugins have asked to be undone when a session is over. */
import { pluginAtWork } from '../hooks/plugin-calls.ts';
import type { Disposer } from '../session.ts';

/** One per session. */
export class Deferred {
  readonly #failed: (error: unknown) => void;
  readonly #releases: Disposer[] = [];
  #over = false;

  /** `failed` hears of each release that throws; must not throw. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** Runs `release` once, when the session is over; at once if that has been. */
  add(release: Disposer): void {
    const by = pluginAtWork()?.as('defer');
    const own = by ? () => by.run(release) : release;
    if (this.#over) void this.#run(own);
    else this.#releases.push(own);
  }

  /** The session is over: the latest first. Never rejects. */
  async run(): Promise<void> {
    this.#over = true;
    for (const release of this.#releases.splice(0).toReversed()) await this.#run(release);
  }

  async #run(release: Disposer): Promise<void> {
    try {
      await release();
    } catch (error) {
      this.#failed(error);
    }
  }
}

/** The functions that plugins have deferred to the end of a session. */
import { describe } from '../client/refuse.ts';
import { pluginAtWork } from '../hooks/plugin-calls.ts';
import type { Disposer, Logger, MaybePromise } from '../contract/session.ts';

/** One per session. */
export class Deferred {
  readonly #log: Logger;
  readonly #releases: Disposer[] = [];
  #over = false;

  /** Each release that throws is logged. */
  constructor(log: Logger) {
    this.#log = log;
  }

  /** Runs `release` once, when the session is over; at once if it is. */
  add(release: Disposer): void {
    const by = pluginAtWork()?.as('defer');
    const own = by ? () => by.run(release) : release;
    if (this.#over) void this.#run(own);
    else this.#releases.push(own);
  }

  /** Runs all of them, if there are any, when the session is over, the latest first. Never rejects. */
  run(): MaybePromise<void> {
    this.#over = true;
    return this.#releases.length === 0 ? undefined : this.#runAll();
  }

  async #runAll(): Promise<void> {
    for (const release of this.#releases.splice(0).toReversed()) await this.#run(release);
  }

  async #run(release: Disposer): Promise<void> {
    try {
      await release();
    } catch (error) {
      this.#log.error({ error: describe(error) }, 'a deferred release failed');
    }
  }
}

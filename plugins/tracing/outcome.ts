/** What became of what was sent to a collector: numbers, and one line in the log when that changes. */
import type { Logger } from '../../core/index.ts';

/** One per destination. */
export class Outcome {
  made = 0;
  exported = 0;
  failed = 0;
  readonly #what: string;
  readonly #log: Logger;
  #working = true;

  /** `what` is for the log: `'spans'`. */
  constructor(what: string, log: Logger) {
    this.#what = what;
    this.#log = log;
  }

  /** A batch has been taken, or `error` says why not. */
  sent(count: number, error: Error | undefined): void {
    if (error) this.failed += count;
    else this.exported += count;
    const working = error === undefined;
    if (working === this.#working) return;
    this.#working = working;
    if (working) this.#log.info({ what: this.#what }, 'the collector takes them again');
    else this.#log.warn({ what: this.#what, reason: reasonOf(error) }, 'the collector takes nothing');
  }
}

/** Without what the collector answered, which may repeat what it was sent. */
function reasonOf(error: Error & { readonly code?: unknown }): string {
  const code = typeof error.code === 'string' || typeof error.code === 'number' ? ` (${error.code})` : '';
  return `${error.message}${code}`.slice(0, 200);
}

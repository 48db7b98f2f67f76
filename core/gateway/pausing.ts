/** A PAUSE that waits: a RESUME calls it off. */
import { GatewayError } from '../contract/errors.ts';
import type { OperatorState } from './operator-state.ts';

const CALLED_OFF = new GatewayError('query_canceled', 'the pause was called off by a RESUME');

interface Waiting {
  readonly entry: string | undefined;
  readonly off: AbortController;
}

/** Those of this gateway, or those of the fleet. */
export class Pausing {
  readonly #waiting = new Set<Waiting>();

  constructor(state: Pick<OperatorState, 'watchResumes'>, of: 'gateway' | 'fleet') {
    state.watchResumes((entry, by) => {
      if (by !== of) return;
      for (const one of this.#waiting) if (one.entry === entry) one.off.abort(CALLED_OFF);
    });
  }

  /** Does the work, with a signal that a RESUME of the same aborts as well. @throws GatewayError `query_canceled` then; what `work` throws */
  async until<T>(
    entry: string | undefined,
    signal: AbortSignal,
    work: (either: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const waiting = { entry, off: new AbortController() };
    this.#waiting.add(waiting);
    try {
      return await work(AbortSignal.any([signal, waiting.off.signal]));
    } finally {
      this.#waiting.delete(waiting);
    }
  }
}

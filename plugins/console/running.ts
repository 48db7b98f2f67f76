/** The command that a session of the console carries out now, which a cancel ends. */
import { GatewayError } from '../../core/index.ts';
import type { Answer, Command, Desk } from './command.ts';

/** One per session. */
export class Running {
  readonly #left: AbortSignal;
  readonly #desk: Omit<Desk, 'signal' | 'left'>;
  #now: AbortController | undefined;

  /** `left` is aborted when the client leaves. */
  constructor(left: AbortSignal, desk: Omit<Desk, 'signal' | 'left'>) {
    this.#left = left;
    this.#desk = desk;
  }

  async run(command: Command): Promise<Answer> {
    const now = new AbortController();
    this.#now = now;
    const left = this.#left;
    try {
      return await command.run({ ...this.#desk, left, signal: AbortSignal.any([now.signal, left]) });
    } finally {
      this.#now = undefined;
    }
  }

  cancel(): void {
    const hint = 'What a PAUSE has paused stays so: RESUME takes it back.';
    this.#now?.abort(new GatewayError('query_canceled', 'canceling statement due to user request', { hint }));
  }
}

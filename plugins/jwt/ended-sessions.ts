/** How many sessions a revocation has ended, over all workers. */
import type { GatewayHandle } from '../../core/index.ts';

const QUESTION = 'sessions ended';
/** Counts that nobody has asked for: the worker that revoked has ended meanwhile. The oldest are forgotten. */
const MOST = 1_000;

/** One per worker; outlives reloads. */
export class EndedSessions {
  readonly #gateway: Pick<GatewayHandle, 'post' | 'worker'>;
  readonly #counts = new Map<string, number>();
  #users = 0;
  #unanswer: (() => void) | undefined;

  constructor(gateway: Pick<GatewayHandle, 'post' | 'worker'>) {
    this.#gateway = gateway;
  }

  /** Answers other workers until all users have called the function that it returns. */
  open(): () => void {
    if (this.#users++ === 0)
      this.#unanswer = this.#gateway.post.answer(QUESTION, (id) => this.#take(String(id)));
    return () => {
      if (--this.#users === 0) this.#unanswer?.();
    };
  }

  /** Of one revocation under several configs the most counts: they end the same sessions. */
  add(id: string, ended: number): void {
    this.#counts.set(id, Math.max(this.#counts.get(id) ?? 0, ended));
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > MOST && oldest !== undefined) this.#counts.delete(oldest);
  }

  /** Call it when every worker has the revocation. One that does not answer in time is not counted. */
  async total(id: string): Promise<number> {
    const own = this.#take(id);
    if (this.#gateway.worker.of === 1) return own;
    const answers = await this.#gateway.post.ask('others', QUESTION, id);
    return answers.reduce((sum, { body }) => sum + (typeof body === 'number' ? body : 0), own);
  }

  #take(id: string): number {
    const ended = this.#counts.get(id) ?? 0;
    this.#counts.delete(id);
    return ended;
  }
}

/** How many sessions a revocation has ended, over all workers of all instances. */
import type { GatewayHandle } from '../../core/index.ts';

const QUESTION = 'sessions ended';
/** As asked by other instances, which may ask before this one has heard of the revocation. */
const QUESTION_OF_FLEET = 'sessions ended, when you know';
/** How long such a question waits, in milliseconds: less than whoever asks does. */
const PATIENCE_MS = 800;
const ASKED_MS = 1_000;
/** Counts that nobody has asked for: the worker that revoked has ended meanwhile. The oldest are forgotten. */
const MOST = 1_000;

/** What is asked of the gateway here. */
export type EndedSessionsParts = Pick<GatewayHandle, 'post' | 'worker' | 'fleet'>;

/** One per worker; outlives reloads. */
export class EndedSessions {
  readonly #gateway: EndedSessionsParts;
  readonly #counts = new Map<string, number>();
  readonly #waiting = new Map<string, Set<() => void>>();
  #users = 0;
  #close: (() => void) | undefined;

  constructor(gateway: EndedSessionsParts) {
    this.#gateway = gateway;
  }

  /** Answers other workers until all users have called the function that it returns. */
  open(): () => void {
    if (this.#users++ === 0) this.#close = this.#answer();
    return () => {
      if (--this.#users === 0) this.#close?.();
    };
  }

  /** Of one revocation under several configs the most counts: they end the same sessions. */
  add(id: string, ended: number): void {
    this.#counts.set(id, Math.max(this.#counts.get(id) ?? 0, ended));
    for (const known of this.#waiting.get(id) ?? []) known();
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > MOST && oldest !== undefined) this.#counts.delete(oldest);
  }

  /** Call it when every worker of this gateway has the revocation. One that does not answer in time is not counted. */
  async total(id: string): Promise<number> {
    const own = this.#take(id);
    const answers = await Promise.all([this.#askWorkers(id), this.#askFleet(id)]);
    return answers.flat().reduce((sum, { body }) => sum + (typeof body === 'number' ? body : 0), own);
  }

  #askWorkers(id: string): Promise<readonly { readonly body?: unknown }[]> {
    const { worker, post } = this.#gateway;
    return worker.of === 1 ? Promise.resolve([]) : post.ask('others', QUESTION, id);
  }

  #askFleet(id: string): Promise<readonly { readonly body?: unknown }[]> {
    const { fleet } = this.#gateway;
    const alone = !fleet || fleet.instances.length < 2 || fleet.staleSince !== undefined;
    return alone
      ? Promise.resolve([])
      : fleet.ask('others', 'all', QUESTION_OF_FLEET, id, { withinMs: ASKED_MS });
  }

  #answer(): () => void {
    const { post } = this.#gateway;
    const closing = [
      post.answer(QUESTION, (id) => this.#take(String(id))),
      post.answer(QUESTION_OF_FLEET, async (id) => {
        await this.#known(String(id));
        return this.#take(String(id));
      }),
    ];
    return () => {
      for (const close of closing) close();
    };
  }

  /** Resolves when this worker has the revocation, or does not get it in time. */
  async #known(id: string): Promise<void> {
    if (this.#counts.has(id)) return;
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting);
    let timer: NodeJS.Timeout | undefined;
    let known = (): void => {};
    await new Promise<void>((resolve) => {
      known = resolve;
      timer = setTimeout(resolve, PATIENCE_MS).unref();
      waiting.add(known);
    });
    clearTimeout(timer);
    waiting.delete(known);
    if (waiting.size === 0) this.#waiting.delete(id);
  }

  #take(id: string): number {
    const ended = this.#counts.get(id) ?? 0;
    this.#counts.delete(id);
    return ended;
  }
}

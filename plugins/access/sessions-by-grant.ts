/** How many sessions are open with each token, over all workers. */
import type { GatewayHandle } from '../../core/index.ts';

/** By the token's `jti`. */
type Counts = Readonly<Record<string, number>>;

const QUESTION = 'sessions by grant';

/** One per worker; outlives reloads. */
export class SessionsByGrant {
  readonly #gateway: Pick<GatewayHandle, 'post' | 'sessions' | 'worker'>;
  #users = 0;
  #unanswer: (() => void) | undefined;

  constructor(gateway: Pick<GatewayHandle, 'post' | 'sessions' | 'worker'>) {
    this.#gateway = gateway;
  }

  /** Answers other workers until all users have called the function that it returns. */
  open(): () => void {
    if (this.#users++ === 0)
      this.#unanswer = this.#gateway.post.answer(QUESTION, (issuer) => this.#own(String(issuer)));
    return () => {
      if (--this.#users === 0) this.#unanswer?.();
    };
  }

  /** Those of the tokens of an issuer. A worker that does not answer in time is not counted. */
  async of(issuer: string): Promise<ReadonlyMap<string, number>> {
    const counts = new Map(Object.entries(this.#own(issuer)));
    if (this.#gateway.worker.of === 1) return counts;
    for (const { body } of await this.#gateway.post.ask('others', QUESTION, issuer))
      for (const [id, count] of Object.entries((body ?? {}) as Counts))
        counts.set(id, (counts.get(id) ?? 0) + count);
    return counts;
  }

  #own(issuer: string): Counts {
    const counts = new Map<string, number>();
    for (const { facts } of this.#gateway.sessions) {
      const { tokenId, issuer: own } = facts.identity ?? {};
      if (tokenId !== undefined && own === issuer) counts.set(tokenId, (counts.get(tokenId) ?? 0) + 1);
    }
    return Object.fromEntries(counts);
  }
}

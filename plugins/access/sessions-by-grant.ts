/** How many sessions are open with each token, over all workers, and all instances of the fleet. */
import type { GatewayHandle, PostAnswer } from '../../core/index.ts';

/** By the token's `jti`. */
type Counts = Readonly<Record<string, number>>;

type Handle = Pick<GatewayHandle, 'post' | 'sessions' | 'worker' | 'fleet'>;

const QUESTION = 'sessions by grant';

/** One per worker; outlives reloads. */
export class SessionsByGrant {
  readonly #gateway: Handle;
  #users = 0;
  #unanswer: (() => void) | undefined;

  constructor(gateway: Handle) {
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
    for (const { body } of await this.#answers(issuer))
      for (const [id, count] of Object.entries((body ?? {}) as Counts))
        counts.set(id, (counts.get(id) ?? 0) + count);
    return counts;
  }

  async #answers(issuer: string): Promise<readonly PostAnswer[]> {
    const { post, fleet, worker } = this.#gateway;
    const answers = await Promise.all([
      worker.of > 1 ? post.ask('others', QUESTION, issuer) : [],
      fleet?.ask('others', 'all', QUESTION, issuer) ?? [],
    ]);
    return answers.flat();
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

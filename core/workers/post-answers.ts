/** The functions of one worker that answer questions of others. */
import type { Post, PostAnswer } from '../contract/post.ts';

type Answer = Parameters<Post['answer']>[1];

/** How long an answer is waited for where nobody says, in milliseconds. */
export const ANSWER_MS = 1_000;
/** The error of a worker that is there and says nothing, for whatever reason. */
export const LATE = 'it did not answer in time';

/** By name. */
export class PostAnswers {
  readonly #answers = new Map<string, Answer>();

  /** @throws Error if there is one of this name already */
  add(name: string, answer: Answer): () => void {
    if (this.#answers.has(name)) throw new Error(`the question '${name}' has two answers`);
    this.#answers.set(name, answer);
    return () => void this.#answers.delete(name);
  }

  /** Never rejects. */
  async of(name: string, body: unknown, from: number): Promise<Omit<PostAnswer, 'worker'>> {
    const answer = this.#answers.get(name);
    if (!answer) return { error: 'it does not answer this question' };
    try {
      const said = await answer(body, from);
      return { ...(said !== undefined && { body: said }) };
    } catch (error) {
      return { error: error instanceof Error ? error.message : 'unknown' };
    }
  }
}

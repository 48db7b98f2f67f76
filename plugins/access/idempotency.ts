/** Requests that come twice under one key are done once (draft-ietf-httpapi-idempotency-key-header). */
import { createHash } from 'node:crypto';
import type { Board } from '../../core/index.ts';
import { otherValue } from './other-value.ts';
import { Refused, shareless } from './refused.ts';

/** What was done under a key, or is being done. */
export interface OnceDone {
  /** Of the request: another one under the same key is a mistake. */
  readonly print: string;
  /** Absent while it is being done. JSON. */
  readonly answer?: unknown;
}

/** How long it may be done, in milliseconds: the worker that does it may end. */
const UNDER_WAY_MS = 60_000;

/** More are not remembered: the oldest are forgotten for them. */
const MOST = 10_000;

/** One per worker, the same in all. Keys belong to callers: nobody meets another's. */
export class Idempotency {
  readonly #board: Board<OnceDone>;

  constructor(board: Board<OnceDone>) {
    this.#board = board;
  }

  /**
   * Does the work, or gives what it gave under this key before; what fails may be tried again. Answers are remembered until
   * the time, in milliseconds since the epoch, that `until` says.
   * @throws Refused 422 for another request under the key, 409 while the first one is under way; what `work` throws
   */
  async once<T>(
    { owner, key, request }: { readonly owner: string; readonly key: string; readonly request: unknown },
    work: () => Promise<T>,
    until: (answer: T) => number,
  ): Promise<T> {
    const name = hash([owner, key]);
    const print = hash(request);
    const claim = { expected: undefined, until: Date.now() + UNDER_WAY_MS };
    const isFirst = await this.#board.put(name, { print }, claim).catch(shareless);
    if (!isFirst) return (await this.#known(name, print)) as T;
    try {
      this.#forgetOldest();
      const answer = await work();
      await this.#board.put(name, { print, answer }, { until: until(answer) });
      return answer;
    } catch (error) {
      await this.#board.drop(name);
      throw error;
    }
  }

  async #known(name: string, print: string): Promise<unknown> {
    const known = await otherValue(this.#board, name, undefined);
    if (known && known.print !== print) {
      const more = { status: 422 };
      throw new Refused('conflict', 'this Idempotency-Key was used for another request', more);
    }
    if (known?.answer !== undefined) return known.answer;
    throw new Refused('conflict', 'the request with this Idempotency-Key is under way');
  }

  #forgetOldest(): void {
    const names = [...this.#board.all().keys()];
    for (const name of names.slice(0, Math.max(0, names.length - MOST))) void this.#board.drop(name);
  }
}

function hash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url');
}

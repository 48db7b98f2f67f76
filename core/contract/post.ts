/** Questions from one worker of the gateway to others. */
import type { MaybePromise } from './session.ts';

/** To whom: every worker, the asking one included; all but that; the lead; one by its number. */
export type Recipient = 'all' | 'others' | 'lead' | number;

/** The answer of one worker. */
export interface PostAnswer {
  readonly worker: number;
  /** What it answered, as JSON carries it. Absent: it failed, has no answer to this question, or did not answer in time. */
  readonly body?: unknown;
  /** Why there is no answer. */
  readonly error?: string;
}

/** How a question is asked. */
export interface AskOptions {
  /** How long answers are waited for, in milliseconds. Default 1 000. */
  readonly withinMs?: number;
}

/** Messages between the workers: each is delivered once at most. Bodies are JSON. */
export interface Post {
  /** Answers questions of this name. Only one function does. @throws Error if there is one already */
  answer(name: string, answer: (body: unknown, from: number) => MaybePromise<unknown>): () => void;
  /** Asks, and resolves with the answer of each worker that was asked, by number. Never rejects. */
  ask(to: Recipient, name: string, body?: unknown, options?: AskOptions): Promise<readonly PostAnswer[]>;
}

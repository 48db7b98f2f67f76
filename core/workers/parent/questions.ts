/** Carries questions from one worker to others, and their answers back. */
import type { PostRequest, ToldAnswer } from '../messages.ts';
import { LATE } from '../post-answers.ts';
import type { Workers } from './workers.ts';

type Asked = Pick<Workers, 'tell' | 'numbers' | 'lead'>;

/** A question of which answers are missing. */
interface Open {
  readonly worker: number;
  readonly q: number;
  /** By the worker that was asked; undefined: it has not answered. */
  readonly answers: Map<number, ToldAnswer | undefined>;
  readonly timer: NodeJS.Timeout;
}

type Ask = Extract<PostRequest, { readonly t: 'ask' }>;

const ENDED = 'it has ended';

/** One per parent. */
export class Questions {
  readonly #workers: Asked;
  readonly #open = new Map<number, Open>();
  #last = 0;

  constructor(workers: Asked) {
    this.#workers = workers;
  }

  hear(worker: number, message: PostRequest): void {
    if (message.t === 'ask') this.#ask(worker, message);
    else this.#answered(message.q, worker, message);
  }

  left(worker: number): void {
    for (const [id, open] of this.#open) {
      if (open.worker === worker) this.#forget(id, open);
      else if (open.answers.has(worker)) this.#answered(id, worker, { error: ENDED });
    }
  }

  close(): void {
    for (const [id, open] of this.#open) this.#forget(id, open);
  }

  #ask(from: number, { q, to, name, body, withinMs }: Ask): void {
    const asked = this.#asked(from, to);
    const id = (this.#last += 1);
    const timer = setTimeout(() => this.#finish(id), withinMs).unref();
    const answers = new Map(asked.map((worker) => [worker, undefined]));
    this.#open.set(id, { worker: from, q, answers, timer });
    for (const worker of asked) this.#workers.tell(worker, { t: 'asked', q: id, from, name, body });
    if (asked.length === 0) this.#finish(id);
  }

  #asked(from: number, to: Ask['to']): readonly number[] {
    const { numbers, lead } = this.#workers;
    const wanted = to === 'lead' ? lead : to;
    return numbers.filter(
      (worker) => wanted === 'all' || wanted === worker || (wanted === 'others' && worker !== from),
    );
  }

  #answered(id: number, worker: number, { body, error }: Omit<ToldAnswer, 'worker'>): void {
    const open = this.#open.get(id);
    if (!open?.answers.has(worker) || open.answers.get(worker)) return;
    open.answers.set(worker, {
      worker,
      ...(body !== undefined && { body }),
      ...(error !== undefined && { error }),
    });
    if ([...open.answers.values()].every((answer) => answer !== undefined)) this.#finish(id);
  }

  #finish(id: number): void {
    const open = this.#open.get(id);
    if (!open) return;
    this.#forget(id, open);
    const answers = [...open.answers].map(([worker, answer]) => answer ?? { worker, error: LATE });
    this.#workers.tell(open.worker, { t: 'answers', q: open.q, answers });
  }

  #forget(id: number, { timer }: Open): void {
    clearTimeout(timer);
    this.#open.delete(id);
  }
}

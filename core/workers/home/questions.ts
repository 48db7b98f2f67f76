/** Carries questions from one worker, or another instance, to workers, and their answers back. */
import type { PostRequest, PostTold, ToldAnswer } from '../messages.ts';
import { LATE } from '../post-answers.ts';

/** Those who may be asked. */
interface Asked {
  readonly tell: (worker: number, message: PostTold) => void;
  readonly numbers: readonly number[];
  readonly lead: number | undefined;
}

/** A question of which answers are missing. */
interface Open {
  /** Who has asked; {@link ELSEWHERE}: another instance. */
  readonly from: number;
  readonly answered: (answers: readonly ToldAnswer[]) => void;
  /** By the worker that was asked; undefined: it has not answered. */
  readonly answers: Map<number, ToldAnswer | undefined>;
  readonly timer: NodeJS.Timeout;
}

type Ask = Pick<Extract<PostRequest, { readonly t: 'ask' }>, 'to' | 'name' | 'body' | 'withinMs'>;

const ENDED = 'it has ended';
/** The number of no worker. */
const ELSEWHERE = 0;

/** One for all workers. */
export class QuestionsToWorkers {
  readonly #workers: Asked;
  readonly #open = new Map<number, Open>();
  #last = 0;

  constructor(workers: Asked) {
    this.#workers = workers;
  }

  hear(worker: number, message: PostRequest): void {
    if (message.t === 'answer') return this.#answered(message.q, worker, message);
    const { q } = message;
    this.#ask(worker, message, (answers) => this.#workers.tell(worker, { t: 'answers', q, answers }));
  }

  /** A question of another instance. Pending where this one ends meanwhile. */
  ask(question: Ask): Promise<readonly ToldAnswer[]> {
    return new Promise((answered) => this.#ask(ELSEWHERE, question, answered));
  }

  left(worker: number): void {
    for (const [id, open] of this.#open) {
      if (open.from === worker) this.#forget(id, open);
      else if (open.answers.has(worker)) this.#answered(id, worker, { error: ENDED });
    }
  }

  close(): void {
    for (const [id, open] of this.#open) this.#forget(id, open);
  }

  #ask(from: number, { to, name, body, withinMs }: Ask, answered: Open['answered']): void {
    const asked = this.#asked(from, to);
    const id = (this.#last += 1);
    const timer = setTimeout(() => this.#finish(id), withinMs).unref();
    const answers = new Map(asked.map((worker) => [worker, undefined]));
    this.#open.set(id, { from, answered, answers, timer });
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
    open.answered([...open.answers].map(([worker, answer]) => answer ?? { worker, error: LATE }));
  }

  #forget(id: number, { timer }: Open): void {
    clearTimeout(timer);
    this.#open.delete(id);
  }
}

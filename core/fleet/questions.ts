/** Questions to other instances, by the post of the store, and theirs to this one. */
import type { FleetAnswer } from '../contract/fleet.ts';
import type { Recipient } from '../contract/post.ts';
import type { ToldAnswer } from '../workers/messages.ts';
import type { MemberParts } from './parts.ts';

/** Clocks of instances may differ by so many milliseconds. */
const SKEW_MS = 5_000;
/** So many questions are remembered, so that none is answered twice. */
const REMEMBERED = 2_000;

/** What is asked. */
export interface Question {
  readonly to: Recipient;
  readonly name: string;
  readonly body?: unknown;
}

interface Asked extends Question {
  readonly kind: 'ask';
  readonly q: number;
  readonly from: string;
  readonly withinMs: number;
  /** By the clock of the one that asks. */
  readonly at: number;
}

interface Answered {
  readonly kind: 'answer';
  readonly q: number;
  readonly from: string;
  readonly answers: readonly ToldAnswer[];
}

interface Left {
  readonly kind: 'left';
  readonly from: string;
}

/** Of this instance: resolves with what its workers say. Never rejects. */
export type AnswerHere = (question: Question, withinMs: number) => Promise<readonly ToldAnswer[]>;

interface QuestionsParts extends MemberParts {
  readonly answer: AnswerHere;
  /** Another one has left. */
  readonly left: (id: string) => void;
}

interface Open {
  readonly from: string;
  readonly answered: (answers: readonly ToldAnswer[]) => void;
}

/** One per member. */
export class Questions {
  readonly #parts: QuestionsParts;
  readonly #open = new Map<number, Open>();
  readonly #heard = new Set<string>();
  #last = 0;

  constructor(parts: QuestionsParts) {
    this.#parts = parts;
  }

  /** One instance, which may be this one. Never rejects. */
  async ask(instance: string, question: Question, withinMs: number): Promise<readonly FleetAnswer[]> {
    const here = instance === this.#parts.id;
    const answers = await (here
      ? this.#parts.answer(question, withinMs)
      : this.#askOther(instance, question, withinMs));
    return answers.map((answer) => ({ ...answer, instance }));
  }

  /** A text from this instance's post. */
  hear(text: string): void {
    const { id, texts } = this.#parts;
    const message = texts.readMessage(id, text) as Asked | Answered | Left | undefined;
    if (message?.kind === 'ask') void this.#hearQuestion(message);
    else if (message?.kind === 'answer') this.#hearAnswer(message);
    else if (message?.kind === 'left') this.#parts.left(message.from);
  }

  /** Ends the reading that waits: there is something for this instance, which says nothing. */
  wake(): void {
    const { id, store, texts } = this.#parts;
    void store.post(id, texts.message(id, { kind: 'wake' })).catch(() => undefined);
  }

  /** Tells the others that this instance is none of them any more. Rejects where the store does not answer. */
  async leave(others: readonly string[]): Promise<void> {
    const { id, store, texts } = this.#parts;
    const left: Left = { kind: 'left', from: id };
    await Promise.all(others.map((other) => store.post(other, texts.message(other, left))));
  }

  close(): void {
    for (const { answered } of this.#open.values()) answered([silent('the gateway stops')]);
  }

  #askOther(instance: string, question: Question, withinMs: number): Promise<readonly ToldAnswer[]> {
    const { id, store, texts, timers, clock } = this.#parts;
    const q = (this.#last += 1);
    return new Promise((resolve) => {
      const stop = timers.after(withinMs, () => answered([silent('it did not answer in time')]));
      const answered = (answers: readonly ToldAnswer[]): void => {
        stop();
        this.#open.delete(q);
        resolve(answers);
      };
      this.#open.set(q, { from: instance, answered });
      // The worker that asks is of this instance: there all are others.
      const to = question.to === 'others' ? 'all' : question.to;
      const asked: Asked = { ...question, to, kind: 'ask', q, from: id, withinMs, at: clock() };
      store
        .post(instance, texts.message(instance, asked))
        .catch(() => answered([silent('the store of the fleet does not answer')]));
    });
  }

  async #hearQuestion({ q, from, to, name, body, withinMs, at }: Asked): Promise<void> {
    const { id, store, texts, clock } = this.#parts;
    const known = `${from} ${q}`;
    // Whoever asked has given up: doing it now would surprise them.
    if (this.#heard.has(known) || clock() > at + withinMs + SKEW_MS) return;
    this.#heard.add(known);
    if (this.#heard.size > REMEMBERED)
      for (const first of this.#heard) {
        this.#heard.delete(first);
        break;
      }
    const answers = await this.#parts.answer({ to, name, body }, withinMs);
    const answered: Answered = { kind: 'answer', q, from: id, answers };
    await store.post(from, texts.message(from, answered)).catch(() => undefined);
  }

  #hearAnswer({ q, from, answers }: Answered): void {
    const open = this.#open.get(q);
    if (open?.from === from) open.answered(answers);
  }
}

/** No worker of the instance has said anything. */
const silent = (error: string): ToldAnswer => ({ worker: 0, error });

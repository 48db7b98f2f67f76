/** Replaces the workers one after the other, each by a new process, while the others serve. It decides, and its owner tells the workers. */
import type { Timers } from '../timers.ts';

/** What the decisions become. */
export interface RollingParts {
  readonly count: number;
  readonly isReady: (worker: number) => boolean;
  /** Has the worker take no more connections, finish, and end. Its successor begins by itself. */
  readonly retire: (worker: number) => void;
  readonly kill: (worker: number) => void;
  readonly after: Timers['after'];
  readonly log: {
    info: (fields: object, text: string) => void;
    warn: (fields: object, text: string) => void;
    error: (fields: object, text: string) => void;
  };
}

/** One replacement of all workers. */
interface Run {
  /** Whose process is of before, in the order of their turns. */
  readonly old: number[];
  /** Whose process has begun since. */
  readonly fresh: Set<number>;
}

/** How long a worker may take to say how long it needs, in milliseconds. */
const HEARD_MS = 10_000;
/** What it may need beyond that. */
const LATE_MS = 6_000;
/** How long workers may take to become ready before the rest of the old ones stays, in milliseconds. */
export const READY_MS = 90_000;

/** One per parent. */
export class Rolling {
  readonly #parts: RollingParts;
  #run: Run | undefined;
  /** It is about to end, and the timer kills it where it does not: also once the others stay, or all end. */
  #retiring: number | undefined;
  #stopTimer: () => void = () => {};
  #isOver = false;

  constructor(parts: RollingParts) {
    this.#parts = parts;
  }

  /** Begins, unless it is under way. The log tells of it, and of its end. */
  begin(): void {
    const { count, log } = this.#parts;
    if (this.#isOver) return;
    if (this.#run) return log.warn({}, 'the workers are being replaced already');
    // The lead is mostly the first one: so what only one may do moves once.
    const old = Array.from({ length: count }, (_, index) => count - index);
    this.#run = { old, fresh: new Set() };
    log.info({ workers: count }, 'replacing the workers');
    // One that retires since an earlier order is replaced first, in the time that it has.
    if (this.#retiring === undefined) this.#await();
    this.#goOn();
  }

  /** It serves. */
  ready(): void {
    this.#goOn();
  }

  /** It has heard that it is to end, and needs at most so long. */
  ending(worker: number, withinMs: number): void {
    // When all end it hears that again, and keeps the time that it has.
    if (this.#retiring === worker && !this.#isOver) this.#killAfter(worker, withinMs + LATE_MS);
  }

  /** A process has ended, for whatever reason: the worker's next one is a new one. */
  gone(worker: number, wasReady: boolean): void {
    const retired = this.#retiring === worker;
    if (retired) {
      this.#retiring = undefined;
      this.#stopTimer();
    }
    const run = this.#run;
    if (!run) return;
    if (run.fresh.has(worker) && !wasReady) return this.#giveUp(`the new worker ${worker} does not start`);
    run.fresh.add(worker);
    if (retired) this.#await();
  }

  /** The gateway ends: nothing is replaced any more. */
  end(): void {
    this.#isOver = true;
    this.#leave();
  }

  /** Ends its timer. */
  close(): void {
    this.end();
    this.#stopTimer();
  }

  /** With one worker missing no other one is taken away. */
  #goOn(): void {
    const run = this.#run;
    if (!run || this.#retiring !== undefined || this.#missing.length > 0) return;
    this.#stopTimer();
    const next = run.old.find((worker) => !run.fresh.has(worker));
    if (next === undefined) return this.#done();
    this.#retiring = next;
    this.#killAfter(next, HEARD_MS + LATE_MS);
    this.#parts.retire(next);
  }

  #done(): void {
    this.#run = undefined;
    this.#parts.log.info({ workers: this.#parts.count }, 'the workers are replaced');
  }

  get #missing(): readonly number[] {
    const all = Array.from({ length: this.#parts.count }, (_, index) => index + 1);
    return all.filter((worker) => !this.#parts.isReady(worker));
  }

  #await(): void {
    this.#stopTimer();
    this.#stopTimer = this.#parts.after(READY_MS, () =>
      this.#giveUp(`not ready within ${READY_MS / 1_000} s: worker ${this.#missing.join(', worker ')}`),
    );
  }

  #killAfter(worker: number, ms: number): void {
    this.#stopTimer();
    this.#stopTimer = this.#parts.after(ms, () => this.#parts.kill(worker));
  }

  /** Whatever does not retire yet stays. */
  #leave(): void {
    this.#run = undefined;
    if (this.#retiring === undefined) this.#stopTimer();
  }

  #giveUp(reason: string): void {
    const { old = [], fresh } = this.#run ?? {};
    const kept = old.filter((worker) => fresh?.has(worker) !== true && worker !== this.#retiring);
    this.#leave();
    this.#parts.log.error({ reason, old: kept }, 'the workers are not all replaced');
  }
}

/** What workers ask of the other instances of their fleet, and what these ask of them. */
import type { FleetMember, OwnReading } from '../fleet-member.ts';
import type { FleetBegin } from '../fleet-state.ts';
import type { FleetRequest, FleetTold } from '../messages.ts';
import { Lives } from './lives.ts';
import type { QuestionsToWorkers } from './questions.ts';

/** What it is made with. */
export interface FleetParts {
  readonly member: FleetMember;
  readonly tell: (worker: number, message: FleetTold) => void;
  readonly tellAll: (message: FleetTold) => void;
  readonly questions: QuestionsToWorkers;
  /** How many there are to be. */
  readonly workers: number;
  /** Of the config in force. */
  readonly digest: () => string;
}

interface Beat {
  readonly connections: number;
  readonly lagMs: number;
}

/** One for all workers. */
export class FleetOfWorkers {
  readonly #parts: FleetParts;
  readonly #lives = new Lives();
  readonly #beats = new Map<number, Beat>();
  /** What each worker does as the only one of all instances, or waits to do: by question, how it is left to the others. */
  readonly #alone = new Map<number, Map<number, () => void>>();
  #draining = false;
  readonly #unwatch: () => void;

  constructor(parts: FleetParts) {
    this.#parts = parts;
    const { member, questions, tellAll } = parts;
    this.#unwatch = member.watch((state) => tellAll({ t: 'fleet', state }));
    member.answersBy((to, name, body, withinMs) => questions.ask({ to, name, body, withinMs }));
    member.readsFrom(() => this.#reading);
  }

  /** For a worker that begins. */
  get begin(): FleetBegin {
    const { state, hashKey } = this.#parts.member;
    return { state, hashKey };
  }

  hear(worker: number, message: FleetRequest): void {
    const { member, tell } = this.#parts;
    const isThere = this.#lives.of(worker);
    switch (message.t) {
      case 'ask-fleet': {
        const { q, instances, to, name, body, withinMs } = message;
        const answered = member.ask(instances, to, name, body, withinMs);
        return void answered.then((answers) => isThere() && tell(worker, { t: 'fleet-answers', q, answers }));
      }
      case 'prove': {
        const { q, board, withinMs } = message;
        const proven = member.proof(board, withinMs);
        return void proven.then((proof) => isThere() && tell(worker, { t: 'proven', q, proof }));
      }
      case 'alone': {
        const { q, task } = message;
        const leave = member.alone(task, () => isThere() && tell(worker, { t: 'alone', q }));
        const tasks = this.#alone.get(worker) ?? new Map<number, () => void>();
        return void this.#alone.set(worker, tasks.set(q, leave));
      }
      case 'alone-over': {
        const tasks = this.#alone.get(worker);
        tasks?.get(message.q)?.();
        return void tasks?.delete(message.q);
      }
    }
  }

  beat(worker: number, { connections, lagMs }: Beat): void {
    this.#beats.set(worker, { connections, lagMs });
  }

  /** No instance is to count on it any more. */
  drains(): void {
    this.#draining = true;
  }

  left(worker: number): void {
    this.#lives.left(worker);
    this.#beats.delete(worker);
    for (const leave of this.#alone.get(worker)?.values() ?? []) leave();
    this.#alone.delete(worker);
  }

  close(): void {
    this.#unwatch();
  }

  get #reading(): OwnReading {
    const beats = [...this.#beats.values()];
    return {
      config: this.#parts.digest(),
      workers: this.#parts.workers,
      sessions: beats.reduce((sum, { connections }) => sum + connections, 0),
      draining: this.#draining,
      lagMs: Math.max(0, ...beats.map(({ lagMs }) => lagMs)),
    };
  }
}

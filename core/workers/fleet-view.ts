/** The fleet as one worker of an instance has it. */
import type {
  FleetAnswer,
  FleetAway,
  FleetInstance,
  FleetProof,
  InstanceRecipient,
} from '../contract/fleet.ts';
import type { InstanceNumbers } from '../contract/instance-numbers.ts';
import type { AskOptions, Recipient } from '../contract/post.ts';
import type { CoordinatedFleet } from './coordination.ts';
import type { FleetMember, FleetState } from './fleet-member.ts';
import type { FleetBegin } from './fleet-state.ts';
import { ANSWER_MS } from './post-answers.ts';

/** What asks other instances: the member, or the parent process that has it. */
export type FleetQuestions = Pick<FleetMember, 'ask' | 'proof'>;

/** One per worker. */
export class FleetView implements CoordinatedFleet {
  readonly hashKey: string;
  #state: FleetState;
  readonly #questions: FleetQuestions;
  readonly #watching = new Set<() => void>();

  constructor({ state, hashKey }: FleetBegin, questions: FleetQuestions) {
    this.hashKey = hashKey;
    this.#state = state;
    this.#questions = questions;
  }

  get name(): string {
    return this.#state.name;
  }

  get id(): string {
    return this.#state.id;
  }

  get instance(): string {
    return this.#state.instance;
  }

  get instances(): readonly FleetInstance[] {
    return this.#state.instances;
  }

  get staleSince(): number | undefined {
    return this.#state.staleSince;
  }

  get isStale(): boolean {
    return this.#state.isStale;
  }

  get limitsAwaySince(): number | undefined {
    return this.#state.limitsAwaySince;
  }

  get limitsAwayTimes(): number {
    return this.#state.limitsAwayTimes;
  }

  get away(): FleetAway {
    return this.#state.away;
  }

  /** Those of cancel keys. */
  get numbers(): InstanceNumbers {
    return this.#state;
  }

  /** It stands so from now on. */
  update(state: FleetState): void {
    this.#state = state;
    for (const changed of this.#watching) changed();
  }

  watch(changed: () => void): () => void {
    // One function may watch twice, and end that once.
    const own = (): void => changed();
    this.#watching.add(own);
    return () => void this.#watching.delete(own);
  }

  ask(
    instances: InstanceRecipient,
    to: Recipient,
    name: string,
    body?: unknown,
    { withinMs = ANSWER_MS }: AskOptions = {},
  ): Promise<readonly FleetAnswer[]> {
    return this.#questions.ask(instances, to, name, body, withinMs);
  }

  proof(board: string, { withinMs = ANSWER_MS }: AskOptions = {}): Promise<FleetProof> {
    return this.#questions.proof(board, withinMs);
  }
}

/** The workers that there are: how each is told something, which of them serve, and the lead. */
import type { FromParent } from '../messages.ts';
import type { Port } from '../port.ts';

/** A worker's channel as the parent has it. */
export type WorkerPort = Port<FromParent>;

interface Worker {
  readonly port: WorkerPort;
  ready: boolean;
}

const inOrder = (numbers: readonly number[]): readonly number[] => numbers.toSorted((a, b) => a - b);

/** One per parent: the only record of who is there. */
export class Workers {
  readonly #all = new Map<number, Worker>();
  readonly #hasLeft: (worker: number) => void;
  #lead: number | undefined;

  /** `hasLeft`: nobody waits any more for this one, which has ended. */
  constructor(hasLeft: (worker: number) => void) {
    this.#hasLeft = hasLeft;
  }

  /** The numbers of those that are there. */
  get numbers(): readonly number[] {
    return inOrder([...this.#all.keys()]);
  }

  /** The numbers of those that serve. */
  get serving(): readonly number[] {
    return this.numbers.filter((worker) => this.isReady(worker));
  }

  /** The worker that does what only one may do: the ready one with the lowest number, until it ends. */
  get lead(): number | undefined {
    return this.#lead;
  }

  isReady(worker: number): boolean {
    return this.#all.get(worker)?.ready === true;
  }

  /** A worker has begun. */
  joined(worker: number, port: WorkerPort): void {
    this.#all.set(worker, { port, ready: false });
  }

  /** It serves: from now on it may be the lead. */
  ready(worker: number): void {
    const one = this.#all.get(worker);
    if (one) one.ready = true;
    this.#electLead();
  }

  /** It has ended. */
  left(worker: number): void {
    this.#all.delete(worker);
    if (this.#lead === worker) this.#lead = undefined;
    this.#hasLeft(worker);
    this.#electLead();
  }

  /** Nothing where it is not there. */
  readonly tell = (worker: number, message: FromParent, handle?: object): void => {
    this.#all.get(worker)?.port.send(message, handle);
  };

  tellAll(message: FromParent): void {
    for (const { port } of this.#all.values()) port.send(message);
  }

  #electLead(): void {
    if (this.#lead !== undefined) return;
    const [first] = this.serving;
    if (first === undefined) return;
    this.#lead = first;
    this.tell(first, { t: 'lead' });
  }
}

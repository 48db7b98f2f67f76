/** Counts of a gateway that outlive its workers: whoever reads them takes one that falls for a restart of the gateway. */
import type { Board } from './board.ts';

/** What one process of a worker has counted, as it answers. */
export interface Counted<T> {
  /** Of the process: the successor of a dead one has another. */
  readonly id: string;
  readonly counts: T;
}

/** What is known of the worker of one number. */
export interface KnownCounts<T> {
  /** Of its last process that has answered. */
  readonly id: string;
  readonly last: T;
  /** The sum of those before. Undefined: there was none. */
  readonly before?: T;
}

/**
 * The last counts that each worker has told, on a board: they are with the parent process and with those that have asked.
 *
 * @example
 *   const sum = (one: number, other: number) => one + other;
 *   const lasting = new LastingCounts<number>(await gateway.board('orders'), sum);
 *   const missing = lasting.missingIn(new Map([[1, { id: 'a process', counts: 7 }]]));
 *   const total = missing.reduce(sum, 7);
 */
export class LastingCounts<T> {
  readonly #board: Board<KnownCounts<T>>;
  readonly #sum: (one: T, other: T) => T;

  /** `sum`: of what two processes have counted. Values are JSON. */
  constructor(board: Board<KnownCounts<T>>, sum: (one: T, other: T) => T) {
    this.#board = board;
    this.#sum = sum;
  }

  /** Notes the answers by worker, and gives what is missing in them: what the dead have counted, and those that are silent. */
  missingIn(answers: ReadonlyMap<number, Counted<T>>): readonly T[] {
    const missing: T[] = [];
    for (const [worker, { before, last }] of this.#board.all())
      if (!answers.has(Number(worker))) missing.push(...(before === undefined ? [last] : [before, last]));
    for (const [worker, { id, counts: last }] of answers) {
      const before = this.#before(worker, id);
      if (before !== undefined) missing.push(before);
      // Where the gateway stops meanwhile, nobody will ask again.
      this.#board.put(String(worker), { id, last, ...(before !== undefined && { before }) }).catch(() => {});
    }
    return missing;
  }

  #before(worker: number, id: string): T | undefined {
    const known = this.#board.get(String(worker));
    if (!known || known.id === id) return known?.before;
    return known.before === undefined ? known.last : this.#sum(known.before, known.last);
  }
}

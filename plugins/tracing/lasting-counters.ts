/** Counters of the gateway, which outlive its workers: Prometheus takes one that falls for a restart of all. */
import type { Board } from '../../core/index.ts';
import { joinedFamilies } from './joined-metrics.ts';
import type { Family } from './prometheus.ts';

/** What one process of a worker has counted, as it answers. */
export interface Counted {
  /** Of the process: the successor of a dead one has another. */
  readonly id: string;
  readonly families: readonly Family[];
}

/** What is known of the worker of one number: `before` is the sum of its dead processes. */
interface Known {
  readonly id: string;
  readonly before: readonly Family[];
  readonly last: readonly Family[];
}

const grows = ({ type }: Family): boolean => type !== 'gauge';

/** The last values that were told, by worker, on a board: they are with the parent process and with those that have been asked. */
export class LastingCounters {
  readonly #board: Board<Known>;

  constructor(board: Board<Known>) {
    this.#board = board;
  }

  /** Notes the answers by worker, and gives what is missing in them: what the dead have counted, and those that are silent. */
  missingIn(answers: ReadonlyMap<number, Counted>): readonly Family[] {
    const silent = [...this.#board.all()].filter(([worker]) => !answers.has(Number(worker)));
    const missing = silent.flatMap(([, { before, last }]) => [...before, ...last]);
    for (const [worker, { id, families }] of answers) {
      const before = this.#before(worker, id);
      missing.push(...before);
      // Where the gateway stops meanwhile, nobody will ask again.
      this.#board.put(String(worker), { id, before, last: families.filter(grows) }).catch(() => {});
    }
    return missing;
  }

  #before(worker: number, id: string): readonly Family[] {
    const known = this.#board.get(String(worker));
    if (!known) return [];
    return known.id === id ? known.before : joinedFamilies([...known.before, ...known.last]);
  }
}

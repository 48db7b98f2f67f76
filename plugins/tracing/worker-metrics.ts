/** Asks the other workers of the gateway for their metrics, and answers when they ask. */
import { randomUUID } from 'node:crypto';
import { LastingCounts } from '../../core/index.ts';
import type { Counted, GatewayHandle } from '../../core/index.ts';
import { joinedFamilies, workersFamily } from './joined-metrics.ts';
import type { Family } from './prometheus.ts';

/** What one process of a worker says. */
interface Told {
  readonly id: string;
  readonly families: readonly Family[];
}

/** What stays when it has died: a gauge is of now. */
const countedIn = ({ id, families }: Told): Counted<readonly Family[]> => ({
  id,
  counts: families.filter(({ type }) => type !== 'gauge'),
});

type Read = () => Promise<readonly Family[]>;

/** One per worker, whatever configs are in force: a question has one answer. */
export class WorkerMetrics {
  readonly #id = randomUUID();
  readonly #reads: Read[] = [];
  #stop: (() => void) | undefined;

  /** The latest that has entered answers. Call the function that it gives once. */
  enter({ post }: Pick<GatewayHandle, 'post'>, read: Read): () => void {
    this.#reads.push(read);
    this.#stop ??= post.answer('metrics', () => this.#read());
    return () => {
      this.#reads.splice(this.#reads.lastIndexOf(read), 1);
      if (this.#reads.length > 0) return;
      this.#stop?.();
      this.#stop = undefined;
    };
  }

  /** Those of all workers; without others the own ones as they are. */
  async ofGateway(
    { post, worker, board }: Pick<GatewayHandle, 'post' | 'worker' | 'board'>,
    read: Read,
  ): Promise<readonly Family[]> {
    if (worker.of === 1) return read();
    const lasting = new LastingCounts<readonly Family[]>(await board('counters'), (one, other) =>
      joinedFamilies([...one, ...other]),
    );
    const [families, answers] = await Promise.all([read(), post.ask('others', 'metrics')]);
    const told = new Map<number, Told>([[worker.number, { id: this.#id, families }]]);
    for (const { worker: other, body } of answers) if (body !== undefined) told.set(other, body as Told);
    const missing = lasting.missingIn(new Map([...told].map(([other, one]) => [other, countedIn(one)])));
    const all = joinedFamilies([...[...told.values()].flatMap((one) => one.families), ...missing.flat()]);
    return [...all, workersFamily(told.size, answers.length + 1 - told.size)];
  }

  async #read(): Promise<Told | undefined> {
    const families = await this.#reads.at(-1)?.();
    return families && { id: this.#id, families };
  }
}

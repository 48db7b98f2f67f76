/** Asks the other workers of the gateway for their metrics, and answers when they ask. */
import { randomUUID } from 'node:crypto';
import type { GatewayHandle } from '../../core/index.ts';
import { joinedFamilies, workersFamily } from './joined-metrics.ts';
import { LastingCounters } from './lasting-counters.ts';
import type { Counted } from './lasting-counters.ts';
import type { Family } from './prometheus.ts';

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
    const lasting = new LastingCounters(await board('counters'));
    const [families, answers] = await Promise.all([read(), post.ask('others', 'metrics')]);
    const counted = new Map<number, Counted>([[worker.number, { id: this.#id, families }]]);
    for (const { worker: other, body } of answers)
      if (body !== undefined) counted.set(other, body as Counted);
    const told = [...counted.values()].flatMap((one) => one.families);
    const all = joinedFamilies([...told, ...lasting.missingIn(counted)]);
    return [...all, workersFamily(counted.size, answers.length + 1 - counted.size)];
  }

  async #read(): Promise<Counted | undefined> {
    const families = await this.#reads.at(-1)?.();
    return families && { id: this.#id, families };
  }
}

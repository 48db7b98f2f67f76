/** What the parent process holds for its workers: boards, places, post and connection slots. It reads messages of workers only. */
import type { Parent } from '../coordination.ts';
import type { FromParent, OrderRequest, SharedRequest } from '../messages.ts';
import type { Port } from '../port.ts';
import { machineTimers } from '../timers.ts';
import { Boards } from './boards.ts';
import { ConnectionSlots } from './connection-slots.ts';
import { Places } from './places.ts';
import { Questions } from './questions.ts';
import { Reloads } from './reloads.ts';
import type { ReloadsParts } from './reloads.ts';

/** A worker's channel as the parent has it. */
export type WorkerPort = Port<FromParent>;

/** One per parent. */
export class Hub {
  readonly #ports = new Map<number, WorkerPort>();
  readonly #ready = new Set<number>();
  readonly #boards: Boards;
  readonly #places: Places;
  /** The server connections that the workers may have. */
  readonly slots: ConnectionSlots;
  readonly #questions: Questions;
  readonly #orders: Parent;
  readonly #reloads: Reloads;
  #lead: number | undefined;

  /** `orders`: what the parent does when a worker asks for it. `log`: tells of reloads. */
  constructor(orders: Parent, log: ReloadsParts['log']) {
    this.#orders = orders;
    const tell = (worker: number, message: FromParent): void => this.#ports.get(worker)?.send(message);
    this.#boards = new Boards(tell);
    this.#places = new Places(tell);
    this.slots = new ConnectionSlots({ tell, ready: () => [...this.#ready].sort((a, b) => a - b) });
    this.#questions = new Questions({
      tell,
      workers: () => [...this.#ports.keys()].sort((a, b) => a - b),
      lead: () => this.#lead,
    });
    this.#reloads = new Reloads({ tell, after: machineTimers.after, log });
  }

  /** The worker that does what only one may do: the ready one with the lowest number, until it ends. */
  get lead(): number | undefined {
    return this.#lead;
  }

  /** How many keys have a place taken. */
  get countedKeys(): number {
    return this.#places.counts.size;
  }

  /** A worker has begun. Its messages go to {@link hear}. */
  joined(worker: number, port: WorkerPort): void {
    this.#ports.set(worker, port);
  }

  /** It serves: from now on it may be the lead. */
  ready(worker: number): void {
    this.#ready.add(worker);
    this.#electLead();
  }

  hear(worker: number, message: SharedRequest): void {
    switch (message.t) {
      case 'open':
      case 'change':
      case 'applied':
        return this.#boards.hear(worker, message);
      case 'take':
      case 'give':
        return this.#places.hear(worker, message);
      case 'ask':
      case 'answer':
        return this.#questions.hear(worker, message);
      case 'reload':
      case 'shutDown':
        return void this.#order(worker, message);
      case 'want':
      case 'opened':
      case 'returned':
      case 'none-spare':
      case 'unpool':
      case 'cancelled':
        return this.slots.hear(worker, message);
      case 'loaded':
      case 'prepared':
      case 'unprepared':
        return this.#reloads.hear(worker, message);
    }
  }

  /** Has every worker load its config anew. @throws Error with the reason where it has not come into force, in any of them */
  reload(): Promise<void> {
    return this.#reloads.reload();
  }

  /** It has ended: nobody waits for it, and what it held is free. */
  left(worker: number): void {
    this.#ports.delete(worker);
    this.#ready.delete(worker);
    if (this.#lead === worker) this.#lead = undefined;
    this.#boards.left(worker);
    this.#places.left(worker);
    this.#questions.left(worker);
    this.slots.left(worker);
    this.#reloads.left(worker);
    this.#electLead();
  }

  /** Ends its timers. */
  close(): void {
    this.#boards.close();
    this.#questions.close();
    this.slots.close();
    this.#reloads.close();
  }

  async #order(worker: number, message: OrderRequest): Promise<void> {
    if (message.t === 'shutDown') return this.#orders.shutDown(message.after);
    const { q } = message;
    const failed = await this.#orders.reload().then(
      () => ({}),
      (error: unknown) => ({ error: error instanceof Error ? error.message : 'unknown' }),
    );
    this.#ports.get(worker)?.send({ t: 'reloaded', q, ...failed });
  }

  #electLead(): void {
    if (this.#lead !== undefined || this.#ready.size === 0) return;
    this.#lead = Math.min(...this.#ready);
    this.#ports.get(this.#lead)?.send({ t: 'lead' });
  }
}

/** What the parent process holds for its workers: boards, places, post and connection slots. It reads messages of workers only. */
import type { ParentOrders } from '../coordination.ts';
import { Reloads } from '../decisions/reloads.ts';
import type { ReloadsParts } from '../decisions/reloads.ts';
import type { FromParent, OrderRequest, ReloadBy, SharedRequest } from '../messages.ts';
import { machineTimers } from '../timers.ts';
import type { FleetMember } from '../fleet-member.ts';
import { FleetPlaces } from '../fleet-places.ts';
import { Boards } from '../home/boards.ts';
import { FleetOfWorkers } from '../home/fleet.ts';
import { PlacesOfWorkers } from '../home/places.ts';
import { QuestionsToWorkers } from '../home/questions.ts';
import { PlaceCounts } from '../place-counts.ts';
import { SlotsOfWorkers } from './slots-of-workers.ts';
import { Workers } from './workers.ts';

/** One per parent. */
export class Hub {
  /** Whose messages go to {@link hear}. */
  readonly workers = new Workers((worker) => this.#left(worker));
  readonly #boards: Boards;
  readonly #places: PlacesOfWorkers;
  /** The server connections that the workers may have. */
  readonly slots: SlotsOfWorkers;
  readonly #questions: QuestionsToWorkers;
  /** Undefined: this gateway is in no fleet. */
  readonly fleet: FleetOfWorkers | undefined;
  readonly #orders: ParentOrders;
  readonly #reloads: Reloads;

  /** `orders`: what the parent does when a worker asks for it. `log`: tells of reloads. `fleet`: its member, and how many workers there are to be. */
  constructor(
    orders: ParentOrders,
    log: ReloadsParts['log'],
    fleet?: { readonly member: FleetMember; readonly workers: number },
  ) {
    const member = fleet?.member;
    this.#orders = orders;
    const { workers } = this;
    const { tell } = workers;
    this.#boards = new Boards(tell, member);
    this.#places = new PlacesOfWorkers(tell, member ? new FleetPlaces(member) : new PlaceCounts());
    this.slots = new SlotsOfWorkers({ tell, ready: () => workers.serving });
    this.#questions = new QuestionsToWorkers(workers);
    this.#reloads = new Reloads({ tell, after: machineTimers.after, log });
    const digest = (): string => this.#reloads.digest;
    const tellAll = (message: FromParent): void => workers.tellAll(message);
    this.fleet = fleet && new FleetOfWorkers({ ...fleet, tell, tellAll, questions: this.#questions, digest });
  }

  /** How many keys have a place taken. */
  get countedKeys(): number {
    return this.#places.counts.size;
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
      case 'ask-fleet':
      case 'prove':
      case 'alone':
      case 'alone-over':
        return this.fleet?.hear(worker, message);
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
      case 'committed':
        return this.#reloads.hear(worker, message);
    }
  }

  /** Has every worker load its config anew. @throws Error with the reason where it has not come into force, in any of them */
  reload(by?: ReloadBy): Promise<void> {
    return this.#reloads.reload(by);
  }

  /** The worker is about to end, and serves under its config until then. */
  retire(worker: number): void {
    this.#reloads.left(worker);
  }

  /** Ends its timers. */
  close(): void {
    this.#boards.close();
    this.#questions.close();
    this.fleet?.close();
    this.slots.close();
    this.#reloads.close();
  }

  async #order(worker: number, message: OrderRequest): Promise<void> {
    if (message.t === 'shutDown') return this.#orders.shutDown(message.after);
    const { q, by } = message;
    const failed = await this.#orders.reload(by).then(
      () => ({}),
      (error: unknown) => ({ error: error instanceof Error ? error.message : 'unknown' }),
    );
    this.workers.tell(worker, { t: 'reloaded', q, ...failed });
  }

  /** Nobody waits for it, and what it held is free. */
  #left(worker: number): void {
    for (const part of [this.#boards, this.#places, this.#questions, this.fleet, this.slots, this.#reloads])
      part?.left(worker);
  }
}

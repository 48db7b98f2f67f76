/** The slots of all pools over all workers, and those of dead workers. */
import type { ServerProcess, SlotLimits } from '../../upstream/pool/connection-slots.ts';
import { DeadConnections } from '../decisions/dead-connections.ts';
import { PoolSlots } from '../decisions/pool-slots.ts';
import type { FromParent, SlotsRequest } from '../messages.ts';
import { machineTimers } from '../timers.ts';
import type { Timers } from '../timers.ts';

/** The parent as far as slots need it. */
interface ConnectionSlotsParts {
  readonly tell: (worker: number, message: FromParent) => void;
  /** The numbers of those that serve. */
  readonly ready: () => readonly number[];
  /** Default: those of the machine. */
  readonly timers?: Timers;
}

/** How often time is looked at while a worker waits, in milliseconds. */
const LOOK_MS = 10;

/** One per parent. */
export class SlotsOfWorkers {
  readonly #parts: ConnectionSlotsParts;
  readonly #timers: Timers;
  readonly #pools = new Map<string, PoolSlots>();
  readonly #dead: DeadConnections;
  /** Pools in which time alone may change something. */
  readonly #waiting = new Set<string>();
  #stopTimer: (() => void) | undefined;

  constructor(parts: ConnectionSlotsParts) {
    this.#parts = parts;
    this.#timers = parts.timers ?? machineTimers;
    this.#dead = new DeadConnections({
      cancel: (...wanted) => this.#cancel(...wanted),
      free: (pool, slot) => {
        this.#pools.get(pool)?.free(slot, this.#timers.now());
        this.#note(pool);
      },
    });
  }

  /** How many slots are lent, of one pool or of all. */
  lent(pool?: string): number {
    const pools = [...this.#pools].filter(([key]) => pool === undefined || key === pool);
    return pools.reduce((sum, [, { slots }]) => sum + slots.length, 0);
  }

  hear(worker: number, message: SlotsRequest): void {
    const now = this.#timers.now();
    if (message.t === 'cancelled') this.#dead.cancelled(worker, message.slot, message.done, now);
    else if (message.t === 'want')
      this.#poolOf(message.pool, message.limits).want(
        worker,
        message.limits,
        message.wants,
        now,
        message.held,
      );
    else this.#hearOf(worker, this.#pools.get(message.pool), message, now);
    if (message.t !== 'cancelled') this.#note(message.pool);
    this.#keepTime();
  }

  /** The worker is dead. */
  left(worker: number): void {
    const now = this.#timers.now();
    for (const [key, pool] of this.#pools) {
      for (const slot of pool.left(worker, now)) this.#dead.add(key, slot, now);
      this.#note(key);
    }
    this.look();
  }

  /** What time alone changes. */
  look(): void {
    const now = this.#timers.now();
    this.#dead.look(now);
    for (const key of this.#waiting) {
      this.#pools.get(key)?.look(now);
      this.#note(key);
    }
    this.#keepTime();
  }

  close(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #hearOf(
    worker: number,
    pool: PoolSlots | undefined,
    message: Exclude<SlotsRequest, { readonly t: 'want' | 'cancelled' }>,
    now: number,
  ): void {
    switch (message.t) {
      case 'opened':
        return pool?.opened(worker, message.slot, message.process, now);
      case 'returned':
        return pool?.returned(worker, message.slot, message.how, now);
      case 'none-spare':
        return pool?.noneSpare(worker, now);
      case 'unpool':
        return pool?.unpool(worker, now);
    }
  }

  #poolOf(key: string, limits: SlotLimits): PoolSlots {
    const { tell } = this.#parts;
    const pool =
      this.#pools.get(key) ??
      new PoolSlots(limits, {
        granted: (worker, role, slot) => tell(worker, { t: 'granted', pool: key, role, slot }),
        full: (worker, role, why) => tell(worker, { t: 'full', pool: key, role, why }),
        recalled: (worker, recall, role) =>
          tell(worker, { t: 'recall', pool: key, recall, ...(role !== undefined && { role }) }),
      });
    this.#pools.set(key, pool);
    return pool;
  }

  /** One that has the pool knows its TLS; any other one looks the entry up. */
  #cancel(pool: string, slot: number, process: ServerProcess, last: number | undefined): number | undefined {
    const ready = this.#parts.ready();
    const users = this.#pools.get(pool)?.workers ?? [];
    const inOrder = [
      ...ready.filter((one) => users.includes(one)),
      ...ready.filter((one) => !users.includes(one)),
    ];
    const worker = inOrder.find((one) => one !== last) ?? inOrder[0];
    if (worker !== undefined) this.#parts.tell(worker, { t: 'cancel-dead', pool, slot, process });
    return worker;
  }

  #note(key: string): void {
    const pool = this.#pools.get(key);
    if (pool?.unused) this.#pools.delete(key);
    if (pool?.waits) this.#waiting.add(key);
    else this.#waiting.delete(key);
  }

  #keepTime(): void {
    if (this.#dead.size === 0 && this.#waiting.size === 0) return this.close();
    this.#stopTimer ??= this.#timers.after(LOOK_MS, () => {
      this.#stopTimer = undefined;
      this.look();
    });
  }
}

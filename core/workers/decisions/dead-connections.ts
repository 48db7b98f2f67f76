/** Server connections of dead workers: what they ran is cancelled, and their slots count until they are gone. */
import type { ServerProcess } from '../../upstream/pool/connection-slots.ts';
import type { Slot } from './pool-slots.ts';

/** The longest time that they count, in milliseconds. */
const LONGEST_MS = 10_000;
/** From one CancelRequest to the next: the bytes of the dead worker have arrived by then, in milliseconds. */
const AGAIN_MS = 250;
/** From the last CancelRequest until the backend has ended, in milliseconds. */
const GRACE_MS = 500;
/** How long a worker may take to deliver one before another one is asked, in milliseconds. */
const DELIVERY_MS = 2_000;
const CANCELS = 2;

interface DeadConnection {
  readonly pool: string;
  readonly process: ServerProcess | undefined;
  readonly until: number;
  /** How many CancelRequests have been delivered. */
  delivered: number;
  /** When the next one is sent, or the slot is free. */
  nextAt: number;
  /** The worker that was asked last. */
  asked: number | undefined;
}

/** The callbacks. */
interface DeadConnectionsParts {
  /** Has a live worker send a CancelRequest, another one than the last if there is one; the worker, or undefined: there is none. */
  cancel(pool: string, slot: number, process: ServerProcess, last: number | undefined): number | undefined;
  /** The connection is gone. */
  free(pool: string, slot: number): void;
}

/**
 * The parent sees neither the server's sockets nor `pg_stat_activity`. The kernel has closed the sockets of the dead worker: an idle backend ends at
 * once, one that runs a statement when it next sends to its client, which a CancelRequest brings about. A request that arrives before the
 * statement does nothing: so there are two, and a pause after the second. A connection that was not ready has no statement of a client, and
 * ends as an idle one does.
 */
export class DeadConnections {
  readonly #parts: DeadConnectionsParts;
  readonly #all = new Map<number, DeadConnection>();

  constructor(parts: DeadConnectionsParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#all.size;
  }

  add(pool: string, { id, process }: Slot, now: number): void {
    const nextAt = process ? now : now + AGAIN_MS + GRACE_MS;
    const until = now + LONGEST_MS;
    const delivered = process ? 0 : CANCELS;
    this.#all.set(id, { pool, process, until, delivered, nextAt, asked: undefined });
  }

  /** A worker has sent a CancelRequest, or could not. */
  cancelled(worker: number, slot: number, done: boolean, now: number): void {
    const dead = this.#all.get(slot);
    if (!dead || dead.asked !== worker || dead.delivered === CANCELS) return;
    if (done) {
      dead.delivered += 1;
      dead.asked = undefined;
    }
    dead.nextAt = now + (dead.delivered === CANCELS ? GRACE_MS : AGAIN_MS);
  }

  look(now: number): void {
    for (const [slot, dead] of this.#all) {
      const { pool, process, until, delivered, nextAt } = dead;
      if (now >= until || (delivered === CANCELS && now >= nextAt)) {
        this.#all.delete(slot);
        this.#parts.free(pool, slot);
      } else if (process && delivered < CANCELS && now >= nextAt) {
        dead.asked = this.#parts.cancel(pool, slot, process, dead.asked);
        dead.nextAt = now + (dead.asked === undefined ? AGAIN_MS : DELIVERY_MS);
      }
    }
  }
}

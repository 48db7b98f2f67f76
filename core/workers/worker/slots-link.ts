/** The connection slots of this worker: what its pools want and return, and what the parent process grants. */
import type {
  ConnectionSlot,
  ConnectionSlots,
  ServerProcess,
  SlotLimits,
  SlotRecall,
  SlotWant,
} from '../../upstream/pool/connection-slots.ts';
import type { FromWorker, SlotsTold } from '../messages.ts';
import { machineTimers } from '../timers.ts';
import type { Timers } from '../timers.ts';

type Send = (message: FromWorker) => void;
type Full = 'size' | 'role';

/** At most so often is told what a pool wants, in milliseconds, but for the first that waits: its queue changes with each transaction. */
const TELL_MS = 10;

/** How old may be what the parent knows of a queue that is not gone through, in milliseconds: each check-in may serve it directly. */
const FRESH_MS = 25;

/** Sends a CancelRequest for a connection of a dead worker: whether it was delivered. */
export type CancelDead = (pool: string, process: ServerProcess) => Promise<boolean>;

/** What the slots of a pool need. */
interface LinkParts {
  readonly workers: number;
  readonly send: Send;
  readonly closed: () => void;
  readonly timers: Timers;
}

/** The slots of one pool. */
class PoolSlotsLink implements ConnectionSlots {
  readonly workers: number;
  readonly #send: Send;
  readonly #pool: string;
  readonly #limits: SlotLimits;
  readonly #closed: () => void;
  readonly #timers: Timers;
  readonly #granted = new Map<string, number[]>();
  readonly #seen = new Map<string, number>();
  readonly #full = new Map<string, Full>();
  #wants: ReadonlyMap<string, SlotWant> = new Map();
  #held = 0;
  #told = '';
  /** The parent is to hear of a queue that has as many requests as before. */
  #isOld = false;
  #toldAt = -Infinity;
  #stopTimer: (() => void) | undefined;
  #stopFresh: (() => void) | undefined;
  #changed: () => void = () => {};
  recall: SlotRecall | undefined;

  constructor(pool: string, limits: SlotLimits, { workers, send, closed, timers }: LinkParts) {
    this.workers = workers;
    this.#pool = pool;
    const finite = (limit: number): number => Math.min(limit, Number.MAX_SAFE_INTEGER);
    this.#limits = {
      size: finite(limits.size),
      perRole: finite(limits.perRole),
      reserve: limits.reserve,
      reserveAfterMs: limits.reserveAfterMs,
      connecting: finite(limits.connecting),
      connectRate: finite(limits.connectRate),
    };
    this.#send = send;
    this.#closed = closed;
    this.#timers = timers;
  }

  changed(changed: () => void): void {
    this.#changed = changed;
  }

  take(role: string): ConnectionSlot | undefined {
    const slots = this.#granted.get(role);
    const slot = slots?.shift();
    if (slots?.length === 0) this.#granted.delete(role);
    return slot === undefined ? undefined : this.#slot(slot);
  }

  full(role: string): Full | undefined {
    return this.#full.get(role);
  }

  want(wants: ReadonlyMap<string, SlotWant>, held = 0): void {
    // Of a pool that has connections enough, after each transaction.
    if (wants.size === 0 && this.#wants.size === 0 && this.#granted.size === 0) return;
    this.#wants = new Map(wants);
    this.#held = held;
    for (const [role, slots] of this.#granted) {
      for (const slot of slots.splice(wants.get(role)?.n ?? 0)) this.#return(slot, 'unused');
      if (slots.length === 0) this.#granted.delete(role);
    }
    this.#tellInTime();
    if (wants.size > 0) this.#stopFresh ??= this.#timers.after(FRESH_MS, () => this.#lookAgain());
  }

  answered(): void {
    this.recall = undefined;
  }

  noneSpare(): void {
    this.recall = undefined;
    this.#send({ t: 'none-spare', pool: this.#pool });
  }

  close(): void {
    this.#stopTimer?.();
    this.#stopFresh?.();
    this.#wants = new Map();
    for (const slots of this.#granted.values())
      for (const slot of slots.splice(0)) this.#return(slot, 'unused');
    if (this.#told !== '') this.#send({ t: 'unpool', pool: this.#pool });
    this.#told = '';
    this.#closed();
  }

  hear(message: Exclude<SlotsTold, { readonly t: 'cancel-dead' }>): void {
    if (message.t === 'granted') this.#grantedOne(message.role, message.slot);
    else if (message.t === 'full') this.#full.set(message.role, message.why);
    else this.recall = message.recall === 'none' ? undefined : { kind: message.recall, role: message.role };
    this.#changed();
  }

  #grantedOne(role: string, slot: number): void {
    this.#seen.set(role, (this.#seen.get(role) ?? 0) + 1);
    this.#granted.set(role, [...(this.#granted.get(role) ?? []), slot]);
  }

  #slot(slot: number): ConnectionSlot {
    let over = false;
    const end = (how?: 'unused' | 'down'): void => {
      if (!over) this.#return(slot, how);
      over = true;
    };
    return {
      opened: (process) => this.#send({ t: 'opened', pool: this.#pool, slot, ...(process && { process }) }),
      gone: () => end(),
      unused: () => end('unused'),
      down: () => end('down'),
    };
  }

  /** In answer the parent says again what is full. */
  #return(slot: number, how?: 'unused' | 'down'): void {
    this.#full.clear();
    this.#send({ t: 'returned', pool: this.#pool, slot, ...(how && { how }) });
  }

  #lookAgain(): void {
    this.#stopFresh = undefined;
    this.#isOld = true;
    this.#changed();
    this.#isOld = false;
  }

  #tellInTime(): void {
    if (this.#wants.size === 0 && this.#told === '') return;
    const now = this.#timers.now();
    const isFirst = this.#told === '' || this.#told === NOTHING;
    if (isFirst || now - this.#toldAt >= TELL_MS) return this.#tell(now);
    this.#stopTimer ??= this.#timers.after(TELL_MS, () => this.#tell(this.#timers.now()));
  }

  #tell(now: number): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    const wants = [...this.#wants].map(([role, { n, since }]) => ({
      role,
      n,
      since: orNull(since),
      seen: this.#seen.get(role) ?? 0,
    }));
    const held = wants.length === 0 ? 0 : this.#held;
    const told = JSON.stringify(wants.map(({ role, n, seen }) => [role, n, seen, held]));
    if (told === this.#told && !(this.#isOld && wants.length > 0)) return;
    this.#told = told;
    this.#toldAt = now;
    this.#full.clear();
    this.#send({
      t: 'want',
      pool: this.#pool,
      limits: this.#limits,
      wants: wants.map(({ since, ...want }) => ({
        ...want,
        waitedMs: since === null ? null : Math.max(0, now - since),
      })),
      ...(held > 0 && { held }),
    });
  }
}

const NOTHING = '[]';
const orNull = (limit: number): number | null => (limit === Infinity ? null : limit);

/** One per worker. */
export class SlotsLink {
  readonly #workers: number;
  readonly #send: Send;
  readonly #timers: Timers;
  readonly #pools = new Map<string, PoolSlotsLink>();
  #cancel: CancelDead = () => Promise.resolve(false);

  /** `timers`: Default: those of the machine. */
  constructor(workers: number, send: Send, timers = machineTimers) {
    this.#workers = workers;
    this.#send = send;
    this.#timers = timers;
  }

  /** The slots of a pool. Pools of one key, in whichever worker, share them. */
  of(pool: string, limits: SlotLimits): ConnectionSlots {
    const closed = (): void => {
      if (this.#pools.get(pool) === link) this.#pools.delete(pool);
    };
    const parts = { workers: this.#workers, send: this.#send, closed, timers: this.#timers };
    const link = new PoolSlotsLink(pool, limits, parts);
    this.#pools.set(pool, link);
    return link;
  }

  /** Sets the function that cancels for dead workers. */
  cancelsBy(cancel: CancelDead): void {
    this.#cancel = cancel;
  }

  hear(message: SlotsTold): void {
    const { pool } = message;
    if (message.t === 'cancel-dead') return void this.#cancelDead(pool, message.slot, message.process);
    const link = this.#pools.get(pool);
    if (link) link.hear(message);
    else if (message.t === 'granted') this.#send({ t: 'returned', pool, slot: message.slot, how: 'unused' });
  }

  async #cancelDead(pool: string, slot: number, process: ServerProcess): Promise<void> {
    const done = await this.#cancel(pool, process).catch(() => false);
    this.#send({ t: 'cancelled', slot, done });
  }
}

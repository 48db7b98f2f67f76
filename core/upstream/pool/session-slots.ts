/** Sessions in session mode, in a pool that lends for transactions, where several workers have it: `mostSessions` holds for all together. */
import type { Waiter } from './checkout-request.ts';
import type { ConnectionSlot, ConnectionSlots, SlotWant } from './connection-slots.ts';
import type { WaitingClients } from './waiting-clients.ts';

/** The right to be lent a connection until the session ends. Those that have come are held here as long as a session waits. */
export class SessionSlots {
  readonly #slots: ConnectionSlots;
  readonly #waiting: WaitingClients<Waiter>;
  readonly #held = new Map<string, ConnectionSlot[]>();
  #waited = false;

  constructor(slots: ConnectionSlots, waiting: WaitingClients<Waiter>) {
    this.#slots = slots;
    this.#waiting = waiting;
  }

  /** Whether a session of the role may have a connection. */
  has(role: string): boolean {
    return (this.#held.get(role)?.length ?? 0) > 0;
  }

  /** For a session that has got its connection. */
  take(role: string): ConnectionSlot | undefined {
    return this.#held.get(role)?.shift();
  }

  /** Takes those that have come. */
  collect(): void {
    for (const role of this.#held.keys()) {
      for (let slot = this.#slots.take(role); slot; slot = this.#slots.take(role)) {
        // It stands for a session, for which nothing is opened.
        slot.opened(undefined);
        this.#held.get(role)?.push(slot);
      }
    }
  }

  /** A pass through the queue is over: says how many wait, and returns what they do not need. */
  told(): void {
    const needed = this.#needed();
    if (needed.size === 0 && !this.#waited) return;
    this.#waited = needed.size > 0;
    for (const role of needed.keys()) if (!this.#held.has(role)) this.#held.set(role, []);
    const wants = new Map<string, SlotWant>();
    for (const [role, held] of this.#held) {
      const n = needed.get(role) ?? 0;
      for (const slot of held.splice(n)) slot.gone();
      if (n > held.length) wants.set(role, { n: n - held.length, since: Infinity });
      if (n === 0) this.#held.delete(role);
    }
    this.#slots.want(wants);
  }

  #needed(): ReadonlyMap<string, number> {
    const needed = new Map<string, number>();
    for (const { key, owner } of this.#waiting.all())
      if (owner.inSessionMode === true) needed.set(key.role, (needed.get(key.role) ?? 0) + 1);
    return needed;
  }
}

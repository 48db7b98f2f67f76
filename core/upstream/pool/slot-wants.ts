/** Slots between a pool and the other workers: counts what each pass through the queue wants, and returns what is recalled. */
import type { Waiter } from './checkout-request.ts';
import type { ConnectionSlot, ConnectionSlots, SlotWant } from './connection-slots.ts';
import type { PooledServer, PooledServers } from './pooled-servers.ts';
import type { WaitingClients } from './waiting-clients.ts';

/** How long a connection is used at least, and how long a spare one has been idle, in milliseconds: a move costs the server a fork. */
export const STAY_MS = 100;
/** For how long a session keeps a connection that is not counted among those that serve all, in milliseconds. */
const HELD_MS = 1_000;

/** The parts of the pool that it uses. */
interface SlotWantsParts {
  readonly slots: ConnectionSlots;
  readonly servers: PooledServers;
  readonly waiting: WaitingClients<Waiter>;
  readonly now: () => number;
  readonly close: (server: PooledServer) => void;
  /** The request may have a connection, if there is one. */
  readonly mayHave: (waiter: Waiter) => boolean;
}

/** One per pool with slots. */
export class SlotWants {
  readonly #parts: SlotWantsParts;
  /** By role: openings of this pass that have no slot. */
  readonly #wanted = new Map<string, number>();
  /** Roles of which the configured minimum lacks a connection. */
  readonly #minimum = new Set<string>();
  #forMinimum = false;
  /** Lent ones: which use it was when first looked at, and when that was. */
  readonly #uses = new WeakMap<PooledServer, { readonly use: number; readonly since: number }>();

  constructor(parts: SlotWantsParts) {
    this.#parts = parts;
  }

  /** How many are wanted in this pass. */
  wanted = 0;

  /** A pass through the queue begins. */
  begin(): void {
    this.#wanted.clear();
    this.wanted = 0;
  }

  /** A slot for an opening; undefined: there is none, and it is wanted. */
  take(role: string): ConnectionSlot | undefined {
    const slot = this.#parts.slots.take(role);
    if (slot) return slot;
    if (this.#forMinimum) this.#minimum.add(role);
    else {
      this.wanted += 1;
      this.#wanted.set(role, (this.#wanted.get(role) ?? 0) + 1);
    }
    return undefined;
  }

  /** Whether the last pass wanted one that no request of the role has got. */
  wants(role: string): boolean {
    return this.#wanted.has(role);
  }

  /** Other workers have all connections: because of `size`, or of `perRole`. */
  full(role: string): 'size' | 'role' | undefined {
    return this.#parts.slots.full(role);
  }

  /** Opens what the minimum lacks, by a function that takes slots. */
  openMinimum(open: () => void): void {
    this.#minimum.clear();
    this.#forMinimum = true;
    open();
    this.#forMinimum = false;
    this.told();
  }

  /** The configured minimum lacks a connection. */
  get lacksMinimum(): boolean {
    return this.#minimum.size > 0;
  }

  /** The pass is over: says what is wanted. */
  told(): void {
    const { slots } = this.#parts;
    if (this.wanted === 0 && this.#minimum.size === 0) slots.want(NOTHING);
    else slots.want(this.#wants(), this.#held());
    this.#returnRecalled();
  }

  /** A connection that was checked in has to be closed, since its slot is recalled. */
  owes(server: PooledServer): boolean {
    const { recall } = this.#parts.slots;
    if (recall?.kind !== 'next' || !this.#mayLeave(server, recall.role)) return false;
    this.#parts.slots.answered();
    return true;
  }

  #wants(): ReadonlyMap<string, SlotWant> {
    const { waiting, mayHave } = this.#parts;
    const wants = new Map<string, SlotWant>();
    for (const role of this.#minimum) wants.set(role, { n: 1, since: Infinity });
    for (const [role, n] of this.#wanted) {
      const oldest = waiting.oldest((waiter) => waiter.key.role === role && mayHave(waiter));
      wants.set(role, { n, since: oldest?.since ?? Infinity });
    }
    return wants;
  }

  /** Those that stay with their session until it ends, or have been with it for long. */
  #held(): number {
    const lent = this.#parts.servers.all('lent');
    return lent.filter((one) => one.pinned !== undefined || one.inSessionMode || this.#isLong(one)).length;
  }

  #isLong(server: PooledServer): boolean {
    const now = this.#parts.now();
    const known = this.#uses.get(server);
    if (known?.use === server.uses) return now - known.since >= HELD_MS;
    this.#uses.set(server, { use: server.uses, since: now });
    return false;
  }

  #returnRecalled(): void {
    const { slots, servers, now, close } = this.#parts;
    const { recall } = slots;
    if (!recall) return;
    const { kind, role } = recall;
    const idle =
      kind === 'spare'
        ? [servers.idleLongest(role)].filter((one) => one && now() - one.idleSince >= STAY_MS)
        : servers.all('idle').filter((one) => this.#mayLeave(one, role));
    const [server] = idle;
    if (server) {
      slots.answered();
      close(server);
    } else if (kind === 'spare') slots.noneSpare();
  }

  #mayLeave({ key, uses, readyAt }: PooledServer, role: string | undefined): boolean {
    return uses > 0 && (role ?? key.role) === key.role && this.#parts.now() - readyAt >= STAY_MS;
  }
}

const NOTHING: ReadonlyMap<string, SlotWant> = new Map();

/** The slots of one pool over all workers: which worker may open a connection, and which returns one. */
import { pauseAfter } from '../../upstream/pause.ts';
import type { ServerProcess, SlotLimits } from '../../upstream/pool/connection-slots.ts';
import type { Recall, WantedSlots } from '../messages.ts';

/** What the ledger decides, for the workers. */
export interface SlotEffects {
  granted(worker: number, role: string, slot: number): void;
  full(worker: number, role: string, why: 'size' | 'role'): void;
  recalled(worker: number, recall: Recall, role?: string): void;
}

/** Lent for one connection, from before it is opened until it is gone. */
export interface Slot {
  readonly id: number;
  readonly role: string;
  /** Undefined: its worker is dead. */
  worker: number | undefined;
  /** Granted, and its connection is neither ready nor gone. */
  opening: boolean;
  process: ServerProcess | undefined;
}

interface Want {
  readonly n: number;
  readonly since: number;
  readonly seen: number;
}

/** A worker that uses the pool. */
interface Member {
  readonly wants: Map<string, Want>;
  /** Connections that sessions keep for long: they serve nobody else. */
  held: number;
  /** How many slots of each role it has been granted. */
  readonly sent: Map<string, number>;
  /** Roles of which it knows that no slot is free. */
  readonly full: Set<string>;
  /** The number of its last grant. */
  turn: number;
  recall: { readonly kind: Recall; readonly at: number; readonly for: Wanted | undefined } | undefined;
  /** When it last had none spare. */
  noneSpareAt: number;
}

/** Who wants a slot. */
interface Wanted {
  readonly worker: number;
  readonly role: string;
}

/** A want that is not met. */
interface Unmet extends Wanted {
  readonly member: Member;
  readonly n: number;
  readonly since: number;
}

/** Why no slot may be granted now; `later`: only time, or the end of an opening, is missing. */
type Blocked = 'size' | 'role' | 'later' | undefined;

/** No slot is free for it. */
interface Full extends Unmet {
  readonly why: 'size' | 'role';
}

/** How many slots there are. */
interface Counts {
  readonly of: (worker: number) => number;
  readonly ofRole: (role: string) => number;
  readonly opening: number;
}

/** The worker that a slot is recalled from. */
interface Victim {
  readonly except?: number | undefined;
  /** It has one of this role. */
  readonly role?: string | undefined;
  readonly for?: Wanted;
  /** Default: any. */
  readonly is?: (worker: number, member: Member) => boolean;
}

const SECOND_MS = 1_000;
/** From then on a request that waits takes a slot from a worker that has more, in milliseconds. */
const UNFAIR_MS = 50;
/**
 * From then on it takes one from a worker that has as many, where requests wait for a third of that at most. Rarely, since a move costs the
 * server a fork.
 */
const STARVED_MS = 200;
const SOONER = 3;
/** How long one recall is believed to bring a slot, and a worker to have nothing spare, in milliseconds. */
const RECALL_MS = 100;

let last = 0;

/** One per pool. It only decides: the time comes with each call, and by one clock. */
export class PoolSlots {
  readonly #effects: SlotEffects;
  readonly #members = new Map<number, Member>();
  readonly #slots = new Map<number, Slot>();
  /** When the slots of the last second were granted. */
  #granted: { readonly slot: number; readonly at: number }[] = [];
  #limits: SlotLimits;
  /** Since a connection was opened last: the server is down or full, and no slot is granted before it has rested. */
  #failures = 0;
  #restedAt = 0;
  #turn = 0;
  /** For whom the slot was recalled that is free now. */
  #owed: Wanted | undefined;

  constructor(limits: SlotLimits, effects: SlotEffects) {
    this.#limits = limits;
    this.#effects = effects;
  }

  /** Nothing would be lost with it. */
  get unused(): boolean {
    return this.#members.size === 0 && this.#slots.size === 0;
  }

  /** Time alone may change something: a worker waits, or there are connections beyond `size`. */
  get waits(): boolean {
    return this.#slots.size > this.#limits.size || this.#unmet().length > 0;
  }

  /** A copy. */
  get slots(): readonly Slot[] {
    return [...this.#slots.values()];
  }

  /** The workers that have the pool. */
  get workers(): readonly number[] {
    return [...this.#members.keys()];
  }

  /** `held`: of its connections, those that serve no other session for long. */
  want(worker: number, limits: SlotLimits, wants: readonly WantedSlots[], now: number, held = 0): void {
    this.#limits = limits;
    const member = this.#members.get(worker) ?? newMember();
    this.#members.set(worker, member);
    member.wants.clear();
    for (const { role, n, waitedMs, seen } of wants)
      member.wants.set(role, { n, seen, since: waitedMs === null ? Infinity : now - waitedMs });
    member.full.clear();
    member.held = held;
    this.look(now);
  }

  opened(worker: number, id: number, process: ServerProcess | undefined, now: number): void {
    const slot = this.#slots.get(id);
    if (slot?.worker !== worker) return;
    slot.process = process;
    slot.opening = false;
    this.#failures = this.#restedAt = 0;
    this.look(now);
  }

  /** `unused`: no connection was opened with it, and it does not count for `connectRate`. `down`: nor will there be one soon. */
  returned(worker: number, id: number, how: 'unused' | 'down' | undefined, now: number): void {
    const slot = this.#slots.get(id);
    if (slot?.worker !== worker) return;
    if (how === 'down') {
      this.#failures += 1;
      this.#rest(now);
    }
    const unused = how === 'unused';
    if (unused) this.#granted = this.#granted.filter((one) => one.slot !== id);
    const member = this.#members.get(worker);
    if (member && !unused) {
      this.#owed = member.recall?.for;
      member.recall = undefined;
    }
    member?.full.clear();
    this.free(id, now);
  }

  noneSpare(worker: number, now: number): void {
    const member = this.#members.get(worker);
    if (member) member.noneSpareAt = now;
    if (member?.recall?.kind === 'spare') member.recall = undefined;
    this.look(now);
  }

  /** The worker has no such pool any more; connections that it still has count until they are gone. */
  unpool(worker: number, now: number): void {
    this.#members.delete(worker);
    this.look(now);
  }

  /** The worker is dead: its slots count until they are set free. */
  left(worker: number, now: number): readonly Slot[] {
    const slots = this.slots.filter((slot) => slot.worker === worker);
    for (const slot of slots) {
      slot.worker = undefined;
      slot.opening = false;
    }
    this.unpool(worker, now);
    return slots;
  }

  /** The connection of a slot is gone. */
  free(id: number, now: number): void {
    if (this.#slots.delete(id)) this.look(now);
  }

  /** Grants what may be granted, and recalls what has to be recalled. */
  look(now: number): void {
    this.#granted = this.#granted.filter(({ at }) => now - at < SECOND_MS);
    for (;;) {
      const counts = this.#counts();
      const unmet = this.#unmet();
      const most = this.#most(unmet, now);
      const why = ({ role }: Unmet): Blocked => this.#blocked(role, counts, most, now);
      const next = this.#next(unmet.filter((one) => !why(one)).sort(inTurn(counts)));
      this.#owed = undefined;
      if (next) this.#grant(next, now);
      else return this.#recall(this.#full(unmet, why), counts, most, now);
    }
  }

  /** For whom a slot was recalled has it: else it might go back to where it came from. */
  #next(inTurn: readonly Unmet[]): Unmet | undefined {
    const { worker, role } = this.#owed ?? {};
    return inTurn.find((one) => one.worker === worker && one.role === role) ?? inTurn[0];
  }

  #grant({ worker, member, role }: Unmet, now: number): void {
    const slot: Slot = { id: (last += 1), role, worker, opening: true, process: undefined };
    this.#slots.set(slot.id, slot);
    this.#granted.push({ slot: slot.id, at: now });
    if (this.#failures > 0) this.#rest(now);
    member.sent.set(role, (member.sent.get(role) ?? 0) + 1);
    member.turn = this.#turn += 1;
    this.#effects.granted(worker, role, slot.id);
  }

  #rest(now: number): void {
    this.#restedAt = now + pauseAfter(this.#failures);
  }

  #counts(): Counts {
    const byWorker = new Map<number | undefined, number>();
    const byRole = new Map<string, number>();
    let opening = 0;
    for (const slot of this.#slots.values()) {
      byWorker.set(slot.worker, (byWorker.get(slot.worker) ?? 0) + 1);
      byRole.set(slot.role, (byRole.get(slot.role) ?? 0) + 1);
      if (slot.opening) opening += 1;
    }
    const of = (worker: number): number => byWorker.get(worker) ?? 0;
    return { of, ofRole: (role) => byRole.get(role) ?? 0, opening };
  }

  #unmet(): Unmet[] {
    const all: Unmet[] = [];
    for (const [worker, member] of this.#members)
      for (const [role, want] of member.wants) {
        const n = want.n - Math.max(0, (member.sent.get(role) ?? 0) - want.seen);
        if (n > 0) all.push({ worker, member, role, n, since: want.since });
      }
    return all;
  }

  /** With the reserve where a request has waited for so long. */
  #most(unmet: readonly Unmet[], now: number): number {
    const { size, reserve, reserveAfterMs } = this.#limits;
    const isLate = reserve > 0 && unmet.some(({ since }) => now - since >= reserveAfterMs);
    return isLate ? size + reserve : size;
  }

  #blocked(role: string, { ofRole, opening }: Counts, most: number, now: number): Blocked {
    const { perRole, connecting, connectRate } = this.#limits;
    if (ofRole(role) >= perRole) return 'role';
    if (this.#slots.size >= most) return 'size';
    const isFast = this.#granted.length >= connectRate || now < this.#restedAt;
    return isFast || opening >= connecting ? 'later' : undefined;
  }

  /** Those that no time will help. Their workers are told so once after each message: they may have a connection in the way themselves. */
  #full(unmet: readonly Unmet[], reason: (one: Unmet) => Blocked): readonly Full[] {
    const full: Full[] = [];
    for (const one of unmet) {
      const why = reason(one);
      if (why !== 'size' && why !== 'role') continue;
      full.push({ ...one, why });
      if (one.member.full.has(one.role)) continue;
      one.member.full.add(one.role);
      this.#effects.full(one.worker, one.role, why);
    }
    return full;
  }

  #recall(full: readonly Full[], counts: Counts, most: number, now: number): void {
    const blocked = full
      .filter(({ since }) => since !== Infinity)
      .sort((one, other) => one.since - other.since);
    const members = [...this.#members.values()];
    const under = members.filter(({ recall }) => recall && now - recall.at < RECALL_MS).length;
    const over = Math.max(0, this.#slots.size - most);
    if (blocked.length === 0 && over === 0) return this.#takeBack();
    let missing = blocked.reduce((sum, { n }) => sum + n, over) - under;
    for (const one of blocked)
      for (let asked = 0; asked < one.n && missing > 0; asked += 1, missing -= 1)
        if (!this.#recallFor(one, counts, now)) break;
    for (let asked = 0; asked < Math.min(missing, over); asked += 1)
      if (!this.#recallFrom('spare', {}, counts, now)) return;
  }

  /** From a worker with more that serve, one that has one to spare, or one that serves its own much sooner; false if there is none. */
  #recallFor({ worker, member, role, since, why }: Full, counts: Counts, now: number): boolean {
    const { of } = counts;
    const from = { except: worker, role: why === 'role' ? role : undefined, for: { worker, role } };
    const [waited, serving] = [now - since, of(worker) - member.held];
    const richer = (other: number, { held }: Member): boolean => of(other) - held >= serving + 2;
    const sooner = (other: number, { wants }: Member): boolean =>
      of(other) >= serving && SOONER * longest(wants, now) <= waited;
    if (waited >= UNFAIR_MS && this.#recallFrom('next', { ...from, is: richer }, counts, now)) return true;
    if (this.#recallFrom('spare', from, counts, now)) return true;
    return waited >= STARVED_MS && this.#recallFrom('next', { ...from, is: sooner }, counts, now);
  }

  /** From the worker that has the most slots, and none of whose is recalled; false if there is none. */
  #recallFrom(
    kind: 'spare' | 'next',
    { except, role, is = () => true, for: wanted }: Victim,
    { of }: Counts,
    now: number,
  ): boolean {
    const has = (worker: number): boolean =>
      role === undefined || this.slots.some((slot) => slot.worker === worker && slot.role === role);
    const may = ({ recall, noneSpareAt }: Member): boolean =>
      kind === 'next' ? recall?.kind !== 'next' : !recall && now - noneSpareAt >= RECALL_MS;
    const [victim] = [...this.#members]
      .filter(([worker, member]) => worker !== except && of(worker) > 0 && may(member) && has(worker))
      .filter(([worker, member]) => is(worker, member))
      .sort(([one], [other]) => of(other) - of(one));
    if (!victim) return false;
    const [worker, member] = victim;
    member.recall = { kind, at: now, for: wanted };
    this.#effects.recalled(worker, kind, role);
    return true;
  }

  /** No worker waits for the slots that are recalled. */
  #takeBack(): void {
    for (const [worker, member] of this.#members) {
      if (member.recall?.kind === 'next') this.#effects.recalled(worker, 'none');
      member.recall = undefined;
    }
  }
}

const newMember = (): Member => ({
  wants: new Map(),
  held: 0,
  sent: new Map(),
  full: new Set(),
  turn: 0,
  recall: undefined,
  noneSpareAt: -Infinity,
});

/** How long the oldest of a worker's requests has waited. */
const longest = (wants: Member['wants'], now: number): number =>
  Math.max(0, ...[...wants.values()].map(({ since }) => now - since));

/** Infinity is after all others. */
const compare = (one: number, other: number): number => (one === other ? 0 : one - other);

/** Fewest slots first, then the worker whose last grant is the longest ago, then its oldest request. */
const inTurn =
  ({ of }: Counts) =>
  (one: Unmet, other: Unmet): number =>
    of(one.worker) - of(other.worker) ||
    one.member.turn - other.member.turn ||
    compare(one.since, other.since);

/** Who lives, as the store last told. */
import type { FleetInstance } from '../contract/fleet.ts';
import type { InstanceNumbers } from '../contract/instance-numbers.ts';
import type { MemberParts } from './parts.ts';
import type { Beat } from './store.ts';

/** An instance that does not live and has not said that it leaves: it may still serve, cut off from the store. */
interface Lost {
  readonly id: string;
  readonly name: string;
  /** By the timers. */
  readonly since: number;
}

/** What the store told of one, and what that says. */
interface Known {
  readonly text: string;
  readonly number: number | undefined;
  /** Undefined: it cannot be read. */
  readonly instance: FleetInstance | undefined;
}

type RosterParts = Pick<MemberParts, 'id' | 'texts' | 'timers' | 'log'>;

/** One per member. */
export class Roster implements InstanceNumbers {
  number: number | undefined;
  numbers: readonly number[] = [];
  byNumber: Readonly<Record<number, string>> = {};
  /** Those that live, without this one. */
  others: readonly FleetInstance[] = [];
  /** Those that live and cannot be read: their names are not known. */
  unread: readonly Pick<FleetInstance, 'id' | 'name'>[] = [];
  readonly #parts: RosterParts;
  readonly #read = new Map<string, Known>();
  readonly #lost = new Map<string, Lost>();
  /** So that each is warned of once. */
  readonly #unreadable = new Set<string>();

  constructor(parts: RosterParts) {
    this.#parts = parts;
  }

  hear({ number, live }: Beat): void {
    this.#claimed(number);
    const others = live.filter(({ id }) => id !== this.#parts.id);
    if (this.#isKnown(others)) return;
    const before = this.others;
    for (const other of others) this.#reads(other);
    this.others = others.flatMap(({ id }) => this.#read.get(id)?.instance ?? []);
    this.unread = others
      .filter(({ id }) => !this.#read.get(id)?.instance)
      .map(({ id }) => ({ id, name: id }));
    this.byNumber = Object.fromEntries(
      others.flatMap(({ id, number: theirs }) => (theirs === undefined ? [] : [[theirs, id]])),
    );
    this.#forget(before);
  }

  /** True where others live, and not one of them can be read. */
  get readsNobody(): boolean {
    return this.unread.length > 0 && this.others.length === 0;
  }

  /** Those that vanished within so many milliseconds, and had not said that they leave. */
  lostWithin(ms: number): readonly Lost[] {
    const now = this.#parts.timers.now();
    return [...this.#lost.values()].filter(({ since }) => now - since < ms);
  }

  /** It has said that it leaves. */
  left(id: string): void {
    this.others = this.others.filter((other) => other.id !== id);
  }

  #claimed(number: number | undefined): void {
    if (number === undefined && this.number !== undefined)
      this.#parts.log.warn({}, 'the fleet has no number left');
    this.number = number;
    if (number !== undefined && !this.numbers.includes(number)) this.numbers = [...this.numbers, number];
  }

  /** Most beats tell nothing new: with many instances it would take longer to take that in than all else. */
  #isKnown(others: Beat['live']): boolean {
    return (
      others.length === this.#read.size &&
      others.every(({ id, text, number }) => {
        const known = this.#read.get(id);
        return known?.text === text && known.number === number;
      })
    );
  }

  #reads({ id, text, number }: Beat['live'][number]): void {
    const known = this.#read.get(id);
    const instance = known?.text === text ? known.instance : this.#instance(id, text);
    this.#read.set(id, { text, number, instance });
  }

  #instance(id: string, text: string): FleetInstance | undefined {
    const told = this.#parts.texts.readInstance(id, text);
    if (told) return { ...told, id };
    if (!this.#unreadable.has(id)) {
      this.#unreadable.add(id);
      this.#parts.log.warn({ id }, 'an instance of the fleet has another fleet.secret');
    }
    return undefined;
  }

  #forget(before: readonly FleetInstance[]): void {
    const live = new Set(this.others.map(({ id }) => id));
    const since = this.#parts.timers.now();
    for (const { id, name } of before) if (!live.has(id)) this.#lost.set(id, { id, name, since });
    for (const id of live) this.#lost.delete(id);
    for (const { id } of this.unread) live.add(id);
    for (const id of this.#read.keys()) if (!live.has(id)) this.#read.delete(id);
    for (const id of this.#unreadable) if (!live.has(id)) this.#unreadable.delete(id);
    for (const [id, lost] of this.#lost) if (since - lost.since > FORGOTTEN_MS) this.#lost.delete(id);
  }
}

const FORGOTTEN_MS = 60_000;

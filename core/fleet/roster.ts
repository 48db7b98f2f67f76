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
  /** Undefined: it cannot be read. */
  readonly instance: FleetInstance | undefined;
}

interface RosterParts extends Pick<MemberParts, 'id' | 'texts' | 'timers' | 'log'> {
  /** `fleet.stale`, in milliseconds: so long may one that is cut off serve. */
  readonly staleMs: number;
}

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
  /** What the store told last. */
  #live: Beat['live'] = [];
  #read = new Map<string, Known>();
  readonly #lost = new Map<string, Lost>();
  /** Those that have said that they leave, and that the store may still take for alive. */
  readonly #leaving = new Set<string>();

  constructor(parts: RosterParts) {
    this.#parts = parts;
  }

  hear({ number, live }: Beat): void {
    this.#claimed(number);
    // Most beats tell nothing new: with many instances it would take longer to take that in than all else.
    if (live === this.#live) return;
    this.#live = live;
    const before = this.#read;
    this.#read = new Map();
    const others: FleetInstance[] = [];
    const unread: Pick<FleetInstance, 'id' | 'name'>[] = [];
    const byNumber: Record<number, string> = {};
    for (const { id, text, number: theirs } of live) {
      if (id === this.#parts.id) continue;
      const instance = this.#instance(id, text, before.get(id));
      this.#read.set(id, { text, instance });
      if (theirs !== undefined) byNumber[theirs] = id;
      if (!instance) unread.push({ id, name: id });
      else if (!this.#leaving.has(id)) others.push(instance);
    }
    [this.others, this.unread, this.byNumber] = [others, unread, byNumber];
    this.#miss(before);
  }

  /** True where others live, and not one of them can be read. */
  get readsNobody(): boolean {
    return this.unread.length > 0 && this.others.length === 0;
  }

  /** Those that vanished within `fleet.stale`, and had not said that they leave. */
  lost(): readonly Lost[] {
    const now = this.#parts.timers.now();
    return [...this.#lost.values()].filter(({ since }) => now - since < this.#parts.staleMs);
  }

  /** It has said that it leaves. */
  left(id: string): void {
    this.others = this.others.filter((other) => other.id !== id);
    this.#lost.delete(id);
    if (this.#read.has(id)) this.#leaving.add(id);
  }

  #claimed(number: number | undefined): void {
    if (number === undefined && this.number !== undefined)
      this.#parts.log.warn({}, 'the fleet has no number left');
    this.number = number;
    if (number !== undefined && !this.numbers.includes(number)) this.numbers = [...this.numbers, number];
  }

  #instance(id: string, text: string, known: Known | undefined): FleetInstance | undefined {
    if (known?.text === text) return known.instance;
    const told = this.#parts.texts.readInstance(id, text);
    if (told) return { ...told, id };
    // Once, and not with each text.
    if (!known || known.instance)
      this.#parts.log.warn({ id }, 'an instance of the fleet has another fleet.secret');
    return undefined;
  }

  /** Those that were there before and are not now have died, unless they had said that they leave. */
  #miss(before: ReadonlyMap<string, Known>): void {
    const since = this.#parts.timers.now();
    for (const [id, { instance }] of before)
      if (!this.#read.has(id) && !this.#leaving.delete(id) && instance)
        this.#lost.set(id, { id, name: instance.name, since });
    for (const [id, lost] of this.#lost)
      if (this.#read.has(id) || since - lost.since > this.#parts.staleMs) this.#lost.delete(id);
  }
}

/** How many places of each key this instance has, and what it has told the store of that. */
import type { FleetAway } from '../contract/fleet.ts';
import type { FleetPlace } from '../workers/fleet-member.ts';
import type { LimitsAway } from './limits-away.ts';
import { inTime, LATE } from './parts.ts';
import type { MemberParts } from './parts.ts';
import type { Taken } from './store.ts';

/** What has changed is told again so often, until it is older than that: it heals what a replica that takes over has not heard of, also where it does not show. */
const RETOLD_MS = 10_000;
/** So many counts go with one command. */
const AT_ONCE = 1_000;

interface PlacesParts extends MemberParts {
  readonly away: FleetAway['limits'];
  /** Told when the store has not answered: nobody waits for it until it has. */
  readonly isAway: LimitsAway;
  /** Claims this instance's life, after which all counts have to be told. */
  readonly revive: () => Promise<unknown>;
}

/** One key. */
interface Place {
  mine: number;
  /** The store may count it. */
  told: boolean;
}

/** One per member. Keys are those of the store. */
export class StorePlaces {
  readonly #parts: PlacesParts;
  /** Those that there are, and those that the store may count. While it is away these are no more than they were, however long that is. */
  readonly #places = new Map<string, Place>();
  /** Keys whose number is to be told. */
  readonly #untold = new Set<string>();
  /** Keys whose number has changed in this period and in the one before. */
  #changed: readonly [now: Set<string>, before: Set<string>] = [new Set(), new Set()];
  #telling: Promise<void> | undefined;
  #stop = (): void => undefined;

  constructor(parts: PlacesParts) {
    this.#parts = parts;
    this.#retell();
  }

  /** As `FleetMember.take`. */
  async take(wanted: readonly FleetPlace[]): Promise<string | undefined> {
    const places = wanted.map(([key, mine, limit]) => {
      const place = { key: this.#parts.texts.place(key), mine, limit: limit ?? undefined };
      this.#set(place.key, mine);
      return place;
    });
    if (places.every(({ limit }) => limit === undefined)) {
      this.#tell(places.map(({ key }) => key));
      return undefined;
    }
    const taken = await this.#taken(places);
    if (!taken) return this.#alone(wanted);
    if (taken.full === undefined) return undefined;
    // None of them is there; where another login has changed the number meanwhile, its caller tells what it is.
    for (const { key, mine } of places) if (this.#mine(key) === mine) this.#set(key, mine - 1);
    return wanted[taken.full]?.[0];
  }

  /** As `FleetMember.count`. */
  count(counts: readonly (readonly [key: string, mine: number])[]): void {
    const keys = counts.map(([name, mine]) => {
      const key = this.#parts.texts.place(name);
      this.#set(key, mine);
      return key;
    });
    this.#tell(keys);
  }

  /** The store answers. `lived`: what it knows of this instance is still there. */
  answers(lived: boolean): void {
    const all = this.#away || !lived;
    this.#parts.isAway.end();
    this.#tell(all ? this.#places.keys() : []);
  }

  /** It does not. */
  fails(): void {
    this.#parts.isAway.begin();
  }

  close(): void {
    this.#stop();
    this.#places.clear();
    this.#untold.clear();
  }

  get #away(): boolean {
    return this.#parts.isAway.since !== undefined;
  }

  #mine(key: string): number {
    return this.#places.get(key)?.mine ?? 0;
  }

  #set(key: string, mine: number): void {
    const place = this.#places.get(key) ?? { mine, told: false };
    place.mine = mine;
    this.#places.set(key, place);
    this.#changed[0].add(key);
    // What came and went while the store was away is nothing to it.
    if (mine === 0 && !place.told) this.#forget(key);
  }

  #forget(key: string): void {
    this.#places.delete(key);
    this.#untold.delete(key);
    for (const keys of this.#changed) keys.delete(key);
  }

  #retell(): void {
    this.#stop = this.#parts.timers.after(RETOLD_MS, () => {
      // Once it is back it is told all.
      if (!this.#away) this.#retellChanged();
      this.#retell();
    });
  }

  #retellChanged(): void {
    const [now, before] = this.#changed;
    this.#changed = [new Set(), now];
    const over = [...before].filter((key) => !now.has(key));
    this.#tell([...over, ...now]);
  }

  /** Undefined: the store is away. */
  async #taken(places: Parameters<MemberParts['store']['take']>[1]): Promise<Taken | undefined> {
    if (this.#away) return undefined;
    const { id, store, timers, timeoutMs } = this.#parts;
    let isLate = false;
    try {
      const taken = await inTime(
        timers,
        timeoutMs,
        this.#takenOnceAlive(() => {
          // The login has been decided meanwhile, and others may have come.
          if (isLate) throw new Error('too late');
          const now = places.map((place) => ({ ...place, mine: this.#mine(place.key) }));
          this.#beginsToTell(now.map(({ key }) => key));
          return store.take(id, now);
        }),
      );
      if (taken !== LATE) return taken;
    } catch {
      // Below: whatever the reason, the login is decided now.
    }
    isLate = true;
    this.#missed();
    return undefined;
  }

  /** A beat says whether it is really away. */
  #missed(): void {
    this.#parts.isAway.begin();
    void this.#parts.revive().catch(() => undefined);
  }

  /** An instance that was taken for dead tells all that it has first: else others would take the same places. */
  async #takenOnceAlive(take: () => Promise<Taken>): Promise<Taken> {
    const taken = await take();
    if (taken.lived) return taken;
    await this.#parts.revive();
    await this.#telling;
    const again = await take();
    if (!again.lived) throw new Error('the store of the fleet does not take this instance for alive');
    return again;
  }

  #alone(wanted: readonly FleetPlace[]): string | undefined {
    if (this.#parts.away === 'refuse') throw new Error('the store of the fleet does not answer');
    this.#tell(wanted.map(([key]) => this.#parts.texts.place(key)));
    return wanted.find(([, mine, limit]) => limit !== null && mine > limit)?.[0];
  }

  #tell(keys: Iterable<string>): void {
    for (const key of keys) if (this.#places.has(key)) this.#untold.add(key);
    if (this.#away || this.#telling || this.#untold.size === 0) return;
    this.#telling = this.#tellAll().finally(() => {
      this.#telling = undefined;
    });
  }

  /** What changes meanwhile goes with the next command: one at a time, so that a number never overtakes a newer one. */
  async #tellAll(): Promise<void> {
    const { id, store } = this.#parts;
    // What else ends in this tick goes with it.
    await Promise.resolve();
    while (this.#untold.size > 0 && !this.#away) {
      const keys = [...this.#untold].slice(0, AT_ONCE);
      for (const key of keys) this.#untold.delete(key);
      const counts = keys.map((key) => [key, this.#mine(key)] as const);
      this.#beginsToTell(keys);
      const lived = await store.count(id, counts).catch(() => undefined);
      if (lived) this.#told(keys);
      if (lived) continue;
      for (const key of keys) this.#untold.add(key);
      return this.#missed();
    }
  }

  #beginsToTell(keys: readonly string[]): void {
    for (const key of keys) {
      const place = this.#places.get(key);
      if (place) place.told = true;
    }
  }

  /** Of what is none and has long been none, the store knows that by now. */
  #told(keys: readonly string[]): void {
    const [now, before] = this.#changed;
    for (const key of keys)
      if (this.#mine(key) === 0 && !this.#untold.has(key) && !now.has(key) && !before.has(key))
        this.#forget(key);
  }
}

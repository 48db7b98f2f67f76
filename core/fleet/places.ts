/** How many places of each key this instance has, and what it has told the store of that. */
import type { FleetAway } from '../contract/fleet.ts';
import type { FleetPlace } from '../workers/fleet-member.ts';
import type { LimitsAway } from './limits-away.ts';
import { inTime, LATE } from './parts.ts';
import type { MemberParts } from './parts.ts';
import type { Taken } from './store.ts';

/** All counts are told again so often: that heals whatever a store has lost. */
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

/** One per member. Keys are those of the store. */
export class StorePlaces {
  readonly #parts: PlacesParts;
  readonly #held = new Map<string, number>();
  /** Keys whose number is to be told. */
  #untold = new Set<string>();
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
    for (const { key, mine } of places) if (this.#held.get(key) === mine) this.#set(key, mine - 1);
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
    this.#tell(all ? this.#held.keys() : []);
  }

  /** It does not. */
  fails(): void {
    this.#parts.isAway.begin();
  }

  close(): void {
    this.#stop();
    this.#held.clear();
    this.#untold.clear();
  }

  get #away(): boolean {
    return this.#parts.isAway.since !== undefined;
  }

  #set(key: string, mine: number): void {
    if (mine > 0) this.#held.set(key, mine);
    else this.#held.delete(key);
  }

  #retell(): void {
    this.#stop = this.#parts.timers.after(RETOLD_MS, () => {
      this.#tell(this.#held.keys());
      this.#retell();
    });
  }

  /** Undefined: the store is away. */
  async #taken(places: Parameters<MemberParts['store']['take']>[1]): Promise<Taken | undefined> {
    if (this.#away) return undefined;
    const { id, store, timers, timeoutMs } = this.#parts;
    try {
      const taken = await inTime(
        timers,
        timeoutMs,
        this.#takenOnceAlive(() => store.take(id, places)),
      );
      if (taken !== LATE) return taken;
    } catch {
      // Below: whatever the reason, the login is decided now.
    }
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
    for (const key of keys) this.#untold.add(key);
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
      const counts = keys.map((key) => [key, this.#held.get(key) ?? 0] as const);
      const lived = await store.count(id, counts).catch(() => undefined);
      if (lived) continue;
      for (const key of keys) this.#untold.add(key);
      return this.#missed();
    }
  }
}

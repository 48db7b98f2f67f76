/** The places of one instance's workers, counted over all instances of its fleet. */
import type { MaybePromise } from '../contract/session.ts';
import type { FleetMember } from './fleet-member.ts';
import { Lives } from './home/lives.ts';
import { PlaceCounts } from './place-counts.ts';
import type { CountedPlaces, Wanted } from './place-counts.ts';

/** One question to the store. */
interface Flight {
  readonly worker: number;
  readonly places: readonly Wanted[];
  /** Whether that worker is still there. */
  readonly isThere: () => boolean;
}

/** A second question follows a first one that took less than this part of the time for both. */
const SOON = 10;

/** A place is counted here before the store is asked, so that of two that come at once each counts the other. */
export class FleetPlaces implements CountedPlaces {
  readonly #member: Pick<FleetMember, 'take' | 'count' | 'timeoutMs'>;
  readonly #counts = new PlaceCounts();
  readonly #lives = new Lives();
  #flying = 0;
  #withdrawals = 0;
  /** The last withdrawal of each key, while questions are under way. */
  readonly #withdrawn = new Map<string, number>();

  constructor(member: Pick<FleetMember, 'take' | 'count' | 'timeoutMs'>) {
    this.#member = member;
  }

  get size(): number {
    return this.#counts.size;
  }

  take(worker: number, places: readonly Wanted[]): MaybePromise<string | undefined> {
    for (const [key] of places) this.#counts.add(worker, key);
    if (places.some(([, limit]) => limit !== Infinity))
      return this.#ask({ worker, places, isThere: this.#lives.of(worker) });
    this.#tell(places.map(([key]) => key));
    return undefined;
  }

  give(worker: number, keys: readonly string[]): void {
    this.#counts.give(worker, keys);
    this.#tell(keys);
  }

  left(worker: number): void {
    const keys = this.#counts.keysOf(worker);
    this.#lives.left(worker);
    this.#counts.left(worker);
    this.#tell(keys);
  }

  async #ask(flight: Flight): Promise<string | undefined> {
    this.#flying += 1;
    try {
      const since = this.#withdrawals;
      const begun = performance.now();
      const full = await this.#askOnce(flight);
      const isOutdated = full !== undefined && (this.#withdrawn.get(full) ?? 0) > since;
      // It was counted too high: another one that came at once has not got its places.
      if (!isOutdated || !flight.isThere()) return full;
      // Both together take a tenth longer than one may, at most.
      if (performance.now() - begun > this.#member.timeoutMs / SOON) return full;
      for (const [key] of flight.places) this.#counts.add(flight.worker, key);
      return await this.#askOnce(flight);
    } finally {
      this.#flying -= 1;
      if (this.#flying === 0) this.#withdrawn.clear();
    }
  }

  async #askOnce(flight: Flight): Promise<string | undefined> {
    const told = flight.places.map(([key, limit]) => {
      return [key, this.#counts.count(key), limit === Infinity ? null : limit] as const;
    });
    try {
      const full = await this.#member.take(told);
      if (full !== undefined) this.#withdraw(flight, told, full);
      // Its places were free before it had them.
      else if (!flight.isThere()) this.#tell(told.map(([key]) => key));
      return full;
    } catch (error) {
      this.#withdraw(flight, told, undefined);
      throw error;
    }
  }

  /** The store has not counted them, but others were told with them meanwhile. */
  #withdraw(
    { worker, isThere }: Flight,
    told: readonly (readonly [key: string, mine: number, limit: number | null])[],
    full: string | undefined,
  ): void {
    const keys = told.map(([key]) => key);
    if (isThere()) this.#counts.give(worker, keys);
    this.#withdrawals += 1;
    // Who waits for the one that is full would not have got it either.
    for (const key of keys) if (key !== full) this.#withdrawn.set(key, this.#withdrawals);
    this.#tell(keys);
  }

  #tell(keys: readonly string[]): void {
    if (keys.length > 0) this.#member.count(keys.map((key) => [key, this.#counts.count(key)] as const));
  }
}

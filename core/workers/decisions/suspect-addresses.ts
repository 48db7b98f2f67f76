/** Addresses behind whose clients workers have died. Times are in milliseconds, monotonic. */

/** Arrivals before a death that may have caused it. */
const MOST_SUSPECTS = 8;
/** How old they may be: a worker that hangs lives on for ten seconds. In milliseconds. */
const FRESH_MS = 30_000;
/** How many addresses are remembered. */
const MOST_ADDRESSES = 1_024;
/** How long a death, and an address, is remembered. */
const REMEMBERED_MS = 60_000;

/** A client of this address has come. */
export interface Arrival {
  readonly address: string;
  readonly at: number;
}

/** A worker's last arrivals, the latest at the end. */
export const lastWith = (recent: readonly Arrival[], arrival: Arrival): readonly Arrival[] => [
  ...recent.slice(1 - MOST_SUSPECTS),
  arrival,
];

/** One per parent. */
export class SuspectAddresses {
  /** When a worker died soon after this address had come. */
  readonly #deaths = new Map<string, readonly number[]>();
  /** When each address came last, the longest ago first. */
  readonly #seen = new Map<string, number>();

  /** A client has come from this address. */
  seen(address: string, now: number): void {
    this.#seen.delete(address);
    this.#seen.set(address, now);
    for (const [oldest, at] of this.#seen) {
      if (this.#seen.size <= MOST_ADDRESSES && now - at <= REMEMBERED_MS) return;
      this.#seen.delete(oldest);
    }
  }

  /** A worker has died whose last arrivals were these. Returns the addresses that are suspect since. */
  died(recent: readonly Arrival[], now: number): readonly string[] {
    const before = this.all(now);
    const fresh = recent.filter(({ at }) => now - at <= FRESH_MS).map(({ address }) => address);
    for (const address of new Set(fresh))
      this.#deaths.set(address, [...(this.#deaths.get(address) ?? []), now]);
    return this.all(now).filter((address) => !before.includes(address));
  }

  /** Those among the last arrivals of two deaths. Where all clients come from one address, as through a proxy, it tells nothing. */
  all(now: number): readonly string[] {
    for (const [address, times] of this.#deaths)
      if (times.every((at) => now - at > REMEMBERED_MS)) this.#deaths.delete(address);
    if (this.#deaths.size === 0 || this.#seen.size < 2) return [];
    return [...this.#deaths]
      .filter(([, times]) => times.filter((at) => now - at <= REMEMBERED_MS).length >= 2)
      .map(([address]) => address);
  }
}

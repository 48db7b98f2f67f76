/** Whether connections come so fast that a message for each would hold them up. Times are in milliseconds, monotonic. */

/** A socket that was lent, and since when. */
interface Returned {
  readonly accepts: number | undefined;
  readonly since: number;
}

/** A socket that has accepted all it was to within this time has others waiting behind it, most likely. */
const QUICK_MS = 10;
/** So many in a row are a rush: a dozen clients that come at once are spread one by one. */
const RUSH = 32;
/** From then on so many in a row double what one socket accepts. */
const DOUBLES = 4;
/** The most that it accepts. Workers differ by so many at most. */
const MOST = 64;
const HIGHEST = RUSH + DOUBLES * Math.log2(MOST);

/** One per listener. */
export class Rush {
  /** How many sockets in a row have come back quickly. */
  #quick = 0;

  /** How many connections the next socket is to accept. */
  get accepts(): number {
    return this.#quick < RUSH ? 1 : 2 ** Math.floor((this.#quick - RUSH) / DOUBLES);
  }

  end(): void {
    this.#quick = 0;
  }

  /** A worker has accepted so many from one. */
  returned({ accepts, since }: Returned, count: number, now: number): void {
    const took = now - since;
    if (count === accepts && took <= QUICK_MS) this.#quick = Math.min(HIGHEST, this.#quick + 1);
    else this.#quick = Math.max(0, this.#quick - 2 * DOUBLES);
  }
}

/** How the time of a function grows with the length of its input: as the length, or as its square. */

/** Time that is told from chance, in milliseconds of CPU. */
const MEASURABLE_MS = 4;
/** Twice the length takes twice the time, or four times; memory and its caches are between. */
const MOST_GROWTH = 3;
const RUNS = 3;
/** Before a growth is believed. */
const TRIES = 4;
/** Growth by this much is believed without a longer text, which might never end. */
const NO_DOUBT = 16;

/** What is measured, and on what. */
export interface Measured {
  readonly run: (text: string) => unknown;
  /** The text in about this many characters. */
  readonly text: (length: number) => string;
  /** The function is never given more characters. */
  readonly most: number;
}

/** Milliseconds of CPU that this process uses for one run, of several the least. */
function cost(run: (text: string) => unknown, text: string): number {
  let least = Infinity;
  for (let count = 0; count < RUNS; count += 1) {
    const since = process.cpuUsage();
    run(text);
    const { user, system } = process.cpuUsage(since);
    least = Math.min(least, (user + system) / 1_000);
    // A slow one is no chance.
    if (least > 50 * MEASURABLE_MS) break;
  }
  return least;
}

/** Milliseconds by length in characters, up to the first that shows more than proportional growth. */
export interface Growth {
  readonly times: ReadonlyMap<number, number>;
  /** The length at which twice the text took more than twice the time; undefined if there was none. */
  readonly tooMuchAt?: number;
}

/** Measures at each length, in ascending order, each twice the one before. */
export function growthOf({ run, text, most }: Measured, lengths: readonly number[]): Growth {
  const times = new Map<number, number>();
  // Regular expressions are compiled when they are used for the second time.
  for (let count = 0; count < RUNS; count += 1) run(text(1_024));
  let [shorter, before] = ['', Infinity];
  for (const length of lengths) {
    const longer = text(length);
    let now = cost(run, longer);
    let grown = grows(before, now);
    // Disturbed perhaps: both are measured again.
    for (let tries = 0; grown && tries < TRIES; tries += 1) {
      now = Math.min(now, cost(run, longer));
      grown = grows(cost(run, shorter), cost(run, longer));
    }
    // A step, as of a cache that is full, does not come again with the next doubling.
    if (grown && now < NO_DOUBT * before && 2 * length <= most)
      grown = grows(cost(run, longer), cost(run, text(2 * length)));
    times.set(length, now);
    if (grown) return { times, tooMuchAt: length };
    [shorter, before] = [longer, now];
  }
  return { times };
}

const grows = (before: number, now: number): boolean => now > MEASURABLE_MS && now > MOST_GROWTH * before;

/** The counters of all sessions by entry: of ended ones as one sum, of the others read on request. */
import type { OpenSession } from '../connection/open-session.ts';
import type { Counts, Usage } from '../connection/usage.ts';
import { NOTHING_USED } from '../contract/readings.ts';
import type { TotalsReading } from '../contract/readings.ts';
import type { Pool } from '../upstream/pool/pool.ts';

/** As plain values. */
export const totalsReadings = (totals: ReadonlyMap<string, Counts>): readonly TotalsReading[] =>
  [...totals].map(([entry, counts]) => ({ entry, ...counts }));

/** A period that is over, by entry. */
export interface Period {
  /** How long it was. */
  readonly seconds: number;
  readonly before: ReadonlyMap<string, Counts>;
  readonly after: ReadonlyMap<string, Counts>;
}

/** How long a period of averages is, in milliseconds: PgBouncer's `stats_period`. */
const PERIOD_MS = 60_000;
/** Names that are remembered after their last session: a `'*'` may serve any number of them. */
export const MOST_ENTRIES = 1_000;

/** Adds `more` to `sum`. */
export function add(sum: Counts, more: Readonly<Counts>): void {
  for (const key of Object.keys(more) as (keyof Counts)[]) sum[key] += more[key];
}

/** One per gateway. */
export class Statistics {
  readonly #live = new Map<OpenSession, Usage>();
  readonly #over = new Map<string, Counts>();
  #last = { at: performance.now(), totals: new Map<string, Counts>() };
  #period: Period | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** The last whole period; undefined in the first one. */
  get period(): Period | undefined {
    return this.#period;
  }

  /** What is used now, by session. */
  get usages(): ReadonlyMap<OpenSession, Usage> {
    return this.#live;
  }

  /** Pools that open sessions may request a connection from, with connections or without. */
  poolsInUse(): ReadonlySet<Pool> {
    const pools = [...this.#live.values()].map(({ pool }) => pool);
    return new Set(pools.filter((pool) => pool !== undefined));
  }

  /** A session has found its entry. */
  enter(usage: Usage): Usage {
    this.#live.set(usage.session, usage);
    if (!this.#over.has(usage.entry)) this.#remember(usage.entry);
    return usage;
  }

  /** The session is over: what it has used; undefined where it had not found its entry. */
  leave(session: OpenSession): Counts | undefined {
    const usage = this.#live.get(session);
    if (!this.#live.delete(session) || !usage) return undefined;
    const counts = usage.counts();
    add(this.#over.get(usage.entry) ?? this.#remember(usage.entry), counts);
    return counts;
  }

  /** Sums by entry, from the gateway's start until now. */
  totals(): Map<string, Counts> {
    const totals = new Map([...this.#over].map(([entry, counts]) => [entry, { ...counts }]));
    for (const usage of this.#live.values()) {
      const sum: Counts = totals.get(usage.entry) ?? { ...NOTHING_USED };
      add(sum, usage.counts());
      totals.set(usage.entry, sum);
    }
    return totals;
  }

  /** Begins to look once per period; the timer does not keep the process alive. */
  start(): void {
    this.#timer ??= setInterval(() => this.endPeriod(), PERIOD_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** What came since the last call is the period to show. */
  endPeriod(): void {
    const now = { at: performance.now(), totals: this.totals() };
    const seconds = (now.at - this.#last.at) / 1_000;
    this.#period = { seconds, before: this.#last.totals, after: now.totals };
    this.#last = now;
  }

  #remember(entry: string): Counts {
    const counts: Counts = { ...NOTHING_USED };
    this.#over.set(entry, counts);
    if (this.#over.size > MOST_ENTRIES) this.#forgetOldest();
    return counts;
  }

  #forgetOldest(): void {
    const used = new Set([...this.#live.values()].map(({ entry }) => entry));
    const oldest = [...this.#over.keys()].find((entry) => !used.has(entry));
    if (oldest !== undefined) this.#over.delete(oldest);
  }
}

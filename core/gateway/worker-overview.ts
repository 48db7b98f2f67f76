/** What operators see of this worker, as plain values. */
import type { Usage } from '../connection/usage.ts';
import type { EntryReading, OverviewParts, PeriodReading } from '../contract/overview.ts';
import { arrivingReading, serverReading, sessionReadings } from './connection-readings.ts';
import { entryReading } from './entry-readings.ts';
import { memoryReadings } from './memory-readings.ts';
import type { Overview as Live } from './overview.ts';
import { roleReadings } from './role-readings.ts';
import { totalsReadings } from './statistics.ts';

/** The name of a part. */
export type Part = keyof OverviewParts;

function lastPeriod({ statistics: { period } }: Live): PeriodReading | undefined {
  return (
    period && {
      seconds: period.seconds,
      before: totalsReadings(period.before),
      after: totalsReadings(period.after),
    }
  );
}

async function entryReadings(live: Live): Promise<readonly EntryReading[]> {
  const entries = await live.entries();
  const usages = new Map<string, Usage[]>();
  for (const usage of live.usages) {
    const own = usages.get(usage.entry) ?? [];
    own.push(usage);
    usages.set(usage.entry, own);
  }
  return entries.map((entry) => entryReading(entry, usages.get(entry.name) ?? []));
}

type Readers = { readonly [P in Part]: (live: Live) => OverviewParts[P] | Promise<OverviewParts[P]> };

const READERS: Readers = {
  sessions: (live) => sessionReadings(live.usages, live.backings()),
  arriving: (live) => live.arriving.map(arrivingReading),
  servers: (live) => live.backings().map(serverReading),
  pools: roleReadings,
  entries: entryReadings,
  totals: ({ statistics }) => totalsReadings(statistics.totals()),
  lastPeriod,
  memory: memoryReadings,
};

/** The parts of that name: what can be read at once is of one tick of the event loop. */
export async function partsOf<P extends Part>(
  live: Live,
  parts: readonly P[],
): Promise<Pick<OverviewParts, P>> {
  const read = parts.map((part) => [part, READERS[part](live)] as const);
  const values = await Promise.all(read.map(async ([part, value]) => [part, await value] as const));
  return Object.fromEntries(values) as unknown as Pick<OverviewParts, P>;
}

/** One of the entries, known or not. */
export async function entryOf(live: Live, name: string): Promise<EntryReading> {
  const ofEntry = ({ entry }: Usage): boolean => entry === name;
  return entryReading(await live.entry(name), live.usages.filter(ofEntry));
}

/** The name of a part that another worker asks for. */
export const isPart = (name: unknown): name is Part =>
  typeof name === 'string' && Object.hasOwn(READERS, name);

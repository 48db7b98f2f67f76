/** `SHOW STATS`, `STATS_TOTALS` and `STATS_AVERAGES`: what the sessions of each entry have used. */
import { NOTHING_USED } from '../../core/index.ts';
import type { OverviewParts, PeriodReading, TotalsReading, UsedCounts } from '../../core/index.ts';
import { table } from './table.ts';
import type { Columns, Table } from './table.ts';
import type { Value } from './types.ts';

/** PgBouncer's columns, and behind them those of its newer versions. Times are microseconds. */
const MEASURES = {
  xact_count: 'numeric',
  query_count: 'numeric',
  bytes_received: 'numeric',
  bytes_sent: 'numeric',
  xact_time: 'numeric',
  query_time: 'numeric',
  wait_time: 'numeric',
  client_parse_count: 'numeric',
  server_parse_count: 'numeric',
  bind_count: 'numeric',
  server_assignment_count: 'numeric',
} as const satisfies Columns;

/** By measure. */
export type Measures = { readonly [K in keyof typeof MEASURES]: number };

/** `SHOW STATS_TOTALS` and `SHOW STATS_AVERAGES`. */
export const STATS_COLUMNS = { database: 'text', ...MEASURES } as const satisfies Columns;

/** PgBouncer's own names in `SHOW STATS`, which shows both. */
const SHORT: Readonly<Record<string, string>> = { bytes_received: 'recv', bytes_sent: 'sent' };
const LONG: Readonly<Record<string, string>> = { bytes_received: 'received', bytes_sent: 'sent' };
/** The newer ones stand behind the last of the older ones, so that those are where they have always been. */
const NEWER = new Set(['client_parse_count', 'server_parse_count', 'bind_count', 'server_assignment_count']);
const names = Object.keys(MEASURES) as (keyof Measures)[];
const [older, newer] = [names.filter((name) => !NEWER.has(name)), names.filter((name) => NEWER.has(name))];

/** Each column of `SHOW STATS` with the measure it shows, and whether that is an average. */
const BOTH: readonly (readonly [column: string, measure: keyof Measures, average: boolean])[] = [
  older,
  newer,
].flatMap((group) => [
  ...group.map((name) => [`total_${LONG[name] ?? name}`, name, false] as const),
  ...group.map((name) => [`avg_${SHORT[name] ?? name}`, name, true] as const),
]);

/** `SHOW STATS`. */
export const STATS_BOTH_COLUMNS: Columns = {
  database: 'text',
  ...Object.fromEntries(BOTH.map(([column]) => [column, 'numeric' as const])),
};

/** What has been used, as PgBouncer counts it. */
export function measures(counts: UsedCounts): Measures {
  return {
    xact_count: counts.transactions,
    query_count: counts.queries,
    bytes_received: counts.received,
    bytes_sent: counts.sent,
    xact_time: Math.round(counts.transactionMs * 1_000),
    query_time: Math.round(counts.queryMs * 1_000),
    wait_time: Math.round(counts.waitMs * 1_000),
    client_parse_count: counts.clientParses,
    server_parse_count: counts.serverParses,
    bind_count: counts.binds,
    server_assignment_count: counts.assignments,
  };
}

function averages(period: PeriodReading | undefined, entry: string): Measures {
  const at = (totals: readonly TotalsReading[] = []): Measures =>
    measures(totals.find((one) => one.entry === entry) ?? NOTHING_USED);
  return averagesBetween(at(period?.before), at(period?.after), period?.seconds ?? 0);
}

/** Per second; times of transactions and statements per one of them. */
export function averagesBetween(before: Measures, after: Measures, seconds: number): Measures {
  const per = (name: keyof Measures, by: number): number =>
    by > 0 ? Math.max(0, Math.floor((after[name] - before[name]) / by)) : 0;
  const grown = (name: keyof Measures): number => after[name] - before[name];
  const perSecond = names.map((name) => [name, per(name, seconds)]);
  return {
    ...(Object.fromEntries(perSecond) as Measures),
    xact_time: per('xact_time', grown('xact_count')),
    query_time: per('query_time', grown('query_count')),
  };
}

/** What statistics are made of. */
export type Used = Pick<OverviewParts, 'totals' | 'lastPeriod'>;

/** What is known of each entry, as totals and as averages. */
function rows({ totals, lastPeriod }: Used): readonly (readonly [string, Measures, Measures])[] {
  return totals.map((counts) => [counts.entry, measures(counts), averages(lastPeriod, counts.entry)]);
}

/** Totals since the gateway's start. */
export function showStatsTotals(used: Used): Table {
  return table(
    STATS_COLUMNS,
    rows(used).map(([database, totals]) => ({ database, ...totals })),
  );
}

/** Averages of the last whole period; zero in the first. */
export function showAverages(used: Used): Table {
  return table(
    STATS_COLUMNS,
    rows(used).map(([database, , average]) => ({ database, ...average })),
  );
}

/** Both. */
export function showStats(used: Used): Table {
  const all = rows(used).map(([database, totals, average]): Readonly<Record<string, Value>> => {
    const values = BOTH.map(([column, name, averaged]) => [column, (averaged ? average : totals)[name]]);
    return { database, ...Object.fromEntries(values) };
  });
  return table(STATS_BOTH_COLUMNS, all);
}

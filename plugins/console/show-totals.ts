/** `SHOW TOTALS`: what all databases have used together. */
import { NOTHING_USED } from '../../core/index.ts';
import type { TotalsReading, UsedCounts } from '../../core/index.ts';
import { averagesBetween, measures } from './show-stats.ts';
import type { Measures, Used } from './show-stats.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/** PgBouncer's columns. */
export const TOTALS_COLUMNS = { name: 'text', value: 'numeric' } as const satisfies Columns;

/** PgBouncer's own names here. */
const NAMES: Readonly<Record<string, string>> = {
  bytes_received: 'client_bytes',
  bytes_sent: 'server_bytes',
};

function sumOf(totals: readonly TotalsReading[] = []): Measures {
  const names = Object.keys(NOTHING_USED) as (keyof UsedCounts)[];
  const sum = names.map((name) => [name, totals.reduce((all, counts) => all + counts[name], 0)]);
  return measures(Object.fromEntries(sum) as UsedCounts);
}

function rows(prefix: string, all: Measures): readonly Row<typeof TOTALS_COLUMNS>[] {
  return Object.entries(all).map(([name, value]) => ({ name: `${prefix}_${NAMES[name] ?? name}`, value }));
}

/** One row for each sum since the gateway's start, then one for each average of the last whole period. */
export function showTotals({ totals, lastPeriod: period }: Used): Table {
  const averages = averagesBetween(sumOf(period?.before), sumOf(period?.after), period?.seconds ?? 0);
  return table(TOTALS_COLUMNS, [...rows('total', sumOf(totals)), ...rows('avg', averages)]);
}

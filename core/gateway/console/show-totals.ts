/** `SHOW TOTALS`: what all databases have used together. */
import type { Overview } from '../overview.ts';
import { add, nothing } from '../statistics.ts';
import type { Period, Statistics } from '../statistics.ts';
import { averagesBetween, measures } from './show-stats.ts';
import type { Measures } from './show-stats.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/** PgBouncer's columns. */
export const TOTALS_COLUMNS = { name: 'text', value: 'numeric' } as const satisfies Columns;

/** PgBouncer's own names here. */
const NAMES: Readonly<Record<string, string>> = {
  bytes_received: 'client_bytes',
  bytes_sent: 'server_bytes',
};

type Totals = ReturnType<Statistics['totals']>;

function sumOf(totals: Period['before'] | Totals | undefined): Measures {
  const sum = nothing();
  for (const counts of totals?.values() ?? []) add(sum, counts);
  return measures(sum);
}

function rows(prefix: string, all: Measures): readonly Row<typeof TOTALS_COLUMNS>[] {
  return Object.entries(all).map(([name, value]) => ({ name: `${prefix}_${NAMES[name] ?? name}`, value }));
}

/** One row for each sum since the gateway's start, then one for each average of the last whole period. */
export function showTotals({ statistics }: Overview): Table {
  const { period } = statistics;
  const averages = averagesBetween(sumOf(period?.before), sumOf(period?.after), period?.seconds ?? 0);
  return table(TOTALS_COLUMNS, [...rows('total', sumOf(statistics.totals())), ...rows('avg', averages)]);
}

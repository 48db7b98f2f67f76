/** `SHOW CONFIG`: what the config in force says, by the names of the README. */
import type { Overview, SettingReading } from '../../core/index.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/** PgBouncer's columns; `changeable` says whether a reload applies a change. */
export const CONFIG_COLUMNS = {
  key: 'text',
  value: 'text',
  default: 'text',
  changeable: 'text',
} as const satisfies Columns;

/** What PgBouncer's exporter reads; 0 is "no limit" there as well. */
const NO_LIMITS = ['max_client_conn', 'max_user_connections'].map((key) => ({
  key,
  value: '0',
  default: '0',
  reload: false,
}));

function row({ key, value, default: standard, reload }: SettingReading): Row<typeof CONFIG_COLUMNS> {
  return { key, value: value ?? null, default: standard ?? null, changeable: reload ? 'yes' : 'no' };
}

/** One row for each. */
export async function showConfig(overview: Overview): Promise<Table> {
  return table(CONFIG_COLUMNS, [...NO_LIMITS, ...(await overview.settings())].map(row));
}

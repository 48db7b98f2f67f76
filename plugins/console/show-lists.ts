/** `SHOW LISTS` and `SHOW STATE`: how many there are of everything, and whether anything is paused. */
import type { Overview, OverviewParts } from '../../core/index.ts';
import { table } from './table.ts';
import type { Columns, Table } from './table.ts';

/** PgBouncer's columns of `SHOW LISTS`. */
export const LIST_COLUMNS = { list: 'text', items: 'int4' } as const satisfies Columns;
/** PgBouncer's columns of `SHOW STATE`. */
export const STATE_COLUMNS = { key: 'text', value: 'text' } as const satisfies Columns;

/** PgBouncer's lists. What it counts of its memory and of its own DNS is zero: there is no such thing here. */
export function showLists(
  read: Omit<OverviewParts, 'totals' | 'lastPeriod' | 'memory'>,
  { fleet }: Pick<Overview, 'fleet'>,
): Table {
  const { sessions, arriving, servers, pools, entries } = read;
  const counts = {
    databases: entries.length,
    users: new Set(pools.map(({ role }) => role)).size,
    peers: fleet?.instances.length ?? 0,
    pools: pools.length,
    peer_pools: 0,
    free_clients: 0,
    used_clients: sessions.length,
    login_clients: arriving.length,
    free_servers: 0,
    used_servers: servers.length,
    dns_names: 0,
    dns_zones: 0,
    dns_queries: 0,
    dns_pending: 0,
  };
  const rows = Object.entries(counts).map(([list, items]) => ({ list, items }));
  return table(LIST_COLUMNS, rows);
}

/** Whether everything is paused, or suspended. */
export function showState({ paused, suspended }: Overview): Table {
  const state = { active: !paused && !suspended, paused, suspended };
  const rows = Object.entries(state).map(([key, is]) => ({ key, value: is ? 'yes' : 'no' }));
  return table(STATE_COLUMNS, rows);
}

/** `SHOW POOLS`: clients and server connections of each entry and role, counted by state. */
import type { EntrySettings, OverviewParts, RoleReading } from '../../core/index.ts';
import { loadBalance } from './show-databases.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/** PgBouncer's columns, and behind them that of its newer versions. */
export const POOL_COLUMNS = {
  database: 'text',
  user: 'text',
  cl_active: 'int4',
  cl_waiting: 'int4',
  cl_active_cancel_req: 'int4',
  cl_waiting_cancel_req: 'int4',
  sv_active: 'int4',
  sv_active_cancel: 'int4',
  sv_being_canceled: 'int4',
  sv_idle: 'int4',
  sv_used: 'int4',
  sv_tested: 'int4',
  sv_login: 'int4',
  maxwait: 'int4',
  maxwait_us: 'int4',
  pool_mode: 'text',
  load_balance_hosts: 'text',
} as const satisfies Columns;

/** `settings`: those of its entry. `own`: the name of this console. */
function row(
  { entry: database, role: user, sessions, clients, cancels, servers, longestWaitMs }: RoleReading,
  settings: EntrySettings | undefined,
  own: string,
): Row<typeof POOL_COLUMNS> {
  return {
    database,
    user,
    cl_active: sessions - clients.waiting,
    cl_waiting: clients.waiting,
    cl_active_cancel_req: cancels,
    cl_waiting_cancel_req: 0,
    sv_active: servers.lent,
    sv_active_cancel: cancels,
    sv_being_canceled: 0,
    sv_idle: servers.idle,
    sv_used: 0,
    sv_tested: servers.resetting,
    sv_login: servers.opening,
    maxwait: Math.floor(longestWaitMs / 1_000),
    maxwait_us: (longestWaitMs % 1_000) * 1_000,
    pool_mode: database === own ? 'statement' : (settings?.mode ?? null),
    load_balance_hosts: loadBalance(settings?.hosts),
  };
}

/** One row for each. */
export function showPools({ pools, entries }: Pick<OverviewParts, 'pools' | 'entries'>, own: string): Table {
  const settings = new Map(entries.map((entry) => [entry.name, entry.settings]));
  const rows = pools.map((pool) => row(pool, settings.get(pool.entry), own));
  return table(POOL_COLUMNS, rows);
}

/** `SHOW DATABASES`: the entries of the config and those that `'*'` or a function has served. */
import type { EntryReading, OverviewParts } from '../../core/index.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/** PgBouncer's columns, and behind them those of its newer versions. Of clients, 0 is "no limit"; lifetimes are seconds. */
export const DATABASE_COLUMNS = {
  name: 'text',
  host: 'text',
  port: 'int4',
  database: 'text',
  force_user: 'text',
  pool_size: 'int4',
  min_pool_size: 'int4',
  reserve_pool: 'int4',
  pool_mode: 'text',
  max_connections: 'int4',
  current_connections: 'int4',
  paused: 'int4',
  disabled: 'int4',
  reserve_pool_size: 'int4',
  server_lifetime: 'int4',
  load_balance_hosts: 'text',
  max_client_connections: 'int4',
  current_client_connections: 'int4',
} as const satisfies Columns;

/** How long a server connection is lent where its entry is not known any more, in seconds: the default of `pool.maxLifetime`. */
const LIFETIME = 3_600;

function row({ name, settings, ...is }: EntryReading): Row<typeof DATABASE_COLUMNS> {
  const hosts = settings?.hosts;
  const { size = 0, min = 0, reserve = 0, mode = null } = settings ?? {};
  return {
    name,
    host: hosts?.map(({ host }) => host).join(',') ?? null,
    port: hosts?.[0]?.port ?? 0,
    database: settings?.database ?? name,
    force_user: settings?.loginRole ?? null,
    pool_size: size,
    min_pool_size: min,
    reserve_pool: reserve,
    pool_mode: mode,
    max_connections: size + reserve,
    current_connections: is.connections,
    paused: is.paused ? 1 : 0,
    // Of one that has been removed, only what is left of it can be seen.
    disabled: is.disabled || !settings ? 1 : 0,
    reserve_pool_size: reserve,
    server_lifetime: settings ? Math.floor(settings.maxLifetimeMs / 1_000) : LIFETIME,
    load_balance_hosts: loadBalance(hosts),
    max_client_connections: 0,
    current_client_connections: is.sessions,
  };
}

/** In PgBouncer's word, where there is a choice: connections go to the server that has the fewest. */
export function loadBalance(hosts: readonly unknown[] | undefined): string | null {
  return hosts && hosts.length > 1 ? 'round-robin' : null;
}

/** One row for each. */
export function showDatabases({ entries }: Pick<OverviewParts, 'entries'>): Table {
  return table(DATABASE_COLUMNS, entries.map(row));
}

/** `SHOW DATABASES`: the entries of the config and those that `'*'` or a function has served. */
import { hostsOf } from '../../database.ts';
import { milliseconds } from '../../durations.ts';
import { POOL_DEFAULTS } from '../../upstream/pool/limits.ts';
import type { EntryView, Overview } from '../overview.ts';
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

function row(
  { name, database, connections, ...is }: EntryView,
  sessions: number,
): Row<typeof DATABASE_COLUMNS> {
  const hosts = database && hostsOf(database);
  const {
    size = 0,
    min = 0,
    reserve = 0,
    mode = null,
    maxLifetime = POOL_DEFAULTS.maxLifetime,
  } = database?.pool ?? {};
  return {
    name,
    host: hosts?.map(({ host }) => host).join(',') ?? null,
    port: hosts?.[0]?.port ?? 0,
    database: database?.database ?? name,
    force_user: database?.login.kind === 'set-role' ? database.login.user : null,
    pool_size: size,
    min_pool_size: min,
    reserve_pool: reserve,
    pool_mode: mode,
    max_connections: size + reserve,
    current_connections: connections,
    paused: is.paused ? 1 : 0,
    // Of one that has been removed, only what is left of it can be seen.
    disabled: is.disabled || !database ? 1 : 0,
    reserve_pool_size: reserve,
    server_lifetime: Math.floor(milliseconds(maxLifetime) / 1_000),
    load_balance_hosts: loadBalance(hosts),
    max_client_connections: 0,
    current_client_connections: sessions,
  };
}

/** In PgBouncer's word, where there is a choice: connections go to the server that has the fewest. */
export function loadBalance(hosts: readonly unknown[] | undefined): string | null {
  return hosts && hosts.length > 1 ? 'round-robin' : null;
}

/** One row for each. */
export async function showDatabases(overview: Overview): Promise<Table> {
  const sessions = new Map<string, number>();
  for (const { entry } of overview.usages) sessions.set(entry, (sessions.get(entry) ?? 0) + 1);
  const entries = await overview.entries();
  return table(
    DATABASE_COLUMNS,
    entries.map((entry) => row(entry, sessions.get(entry.name) ?? 0)),
  );
}

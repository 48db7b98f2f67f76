/** `SHOW USERS`: the roles that somebody uses. */
import type { EntrySettings, OverviewParts, RoleReading } from '../../core/index.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/** PgBouncer's columns, and behind them those of its newer versions. Of a role, 0 is "no limit". */
export const USER_COLUMNS = {
  name: 'text',
  pool_mode: 'text',
  pool_size: 'text',
  reserve_pool_size: 'text',
  max_user_connections: 'int4',
  current_connections: 'int4',
  max_user_client_connections: 'int4',
  current_client_connections: 'int4',
} as const satisfies Columns;

type Pools = readonly RoleReading[];
/** By entry. */
type Settings = ReadonlyMap<string, EntrySettings | undefined>;

/** What `pool.perRole` of its databases allows in all; 0 where one of them does not limit it. */
function limitOf(pools: Pools, settings: Settings): number {
  const limits = pools.map(({ entry }) => settings.get(entry)?.perRole);
  if (limits.some((limit) => limit === undefined)) return 0;
  return limits.reduce<number>((sum, limit) => sum + (limit ?? 0), 0);
}

const connectionsOf = ({ servers }: RoleReading): number =>
  Object.values(servers).reduce((sum, count) => sum + count, 0);

function row(name: string, settings: Settings, pools: Pools): Row<typeof USER_COLUMNS> {
  return {
    name,
    // Modes and sizes are those of databases.
    pool_mode: null,
    pool_size: '',
    reserve_pool_size: '',
    max_user_connections: limitOf(pools, settings),
    current_connections: pools.reduce((sum, pool) => sum + connectionsOf(pool), 0),
    max_user_client_connections: 0,
    current_client_connections: pools.reduce((sum, { sessions }) => sum + sessions, 0),
  };
}

/** One row for each. */
export function showUsers({ pools, entries }: Pick<OverviewParts, 'pools' | 'entries'>): Table {
  const settings = new Map(entries.map((entry) => [entry.name, entry.settings]));
  const names = [...new Set(pools.map(({ role }) => role))];
  const rows = names.map((name) =>
    row(
      name,
      settings,
      pools.filter(({ role }) => role === name),
    ),
  );
  return table(USER_COLUMNS, rows);
}

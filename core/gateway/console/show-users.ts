/** `SHOW USERS`: the roles that somebody uses. */
import type { Overview } from '../overview.ts';
import { poolGroups } from '../pool-groups.ts';
import type { PoolGroup } from '../pool-groups.ts';
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

type Groups = readonly PoolGroup[];

/** What `pool.perRole` of its databases allows in all; 0 where one of them does not limit it. */
async function limitOf(groups: Groups, overview: Overview): Promise<number> {
  const entries = await Promise.all(groups.map(({ entry }) => overview.entry(entry)));
  const limits = entries.map(({ database }) => database?.pool.perRole);
  if (limits.some((limit) => limit === undefined)) return 0;
  return limits.reduce<number>((sum, limit) => sum + (limit ?? 0), 0);
}

async function row(name: string, overview: Overview, groups: Groups): Promise<Row<typeof USER_COLUMNS>> {
  return {
    name,
    // Modes and sizes are those of databases.
    pool_mode: null,
    pool_size: '',
    reserve_pool_size: '',
    max_user_connections: await limitOf(groups, overview),
    current_connections: groups.reduce((sum, { backings }) => sum + backings.length, 0),
    max_user_client_connections: 0,
    current_client_connections: groups.reduce((sum, { usages }) => sum + usages.length, 0),
  };
}

/** One row for each. */
export async function showUsers(overview: Overview): Promise<Table> {
  const groups = poolGroups(overview);
  const names = [...new Set(groups.map(({ role }) => role))];
  const rows = names.map((name) =>
    row(
      name,
      overview,
      groups.filter(({ role }) => role === name),
    ),
  );
  return table(USER_COLUMNS, await Promise.all(rows));
}

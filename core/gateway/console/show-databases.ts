/** `SHOW DATABASES`: the entries of the config and those that `'*'` or a function has served. */
import { hostsOf } from '../../database.ts';
import type { EntryView, Overview } from '../overview.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/** PgBouncer's columns. */
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
} as const satisfies Columns;

function row({ name, database, connections, paused }: EntryView): Row<typeof DATABASE_COLUMNS> {
  const hosts = database && hostsOf(database);
  const { size = 0, min = 0, reserve = 0, mode = null } = database?.pool ?? {};
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
    paused: paused ? 1 : 0,
    // Of one that has been removed, only what is left of it can be seen.
    disabled: database ? 0 : 1,
  };
}

/** One row for each. */
export async function showDatabases(overview: Overview): Promise<Table> {
  return table(DATABASE_COLUMNS, (await overview.entries()).map(row));
}

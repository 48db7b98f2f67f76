/** `SHOW POOLS`: clients and server connections of each entry and role, counted by state. */
import { hostsOf } from '../../database.ts';
import type { Overview } from '../overview.ts';
import { longestWaitMs, poolGroups, waitingIn } from '../pool-groups.ts';
import type { PoolGroup } from '../pool-groups.ts';
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

async function row(
  { entry: database, role: user, usages, backings }: PoolGroup,
  overview: Overview,
): Promise<Row<typeof POOL_COLUMNS>> {
  const waiting = waitingIn(usages);
  const longest = longestWaitMs(waiting);
  const cancels = usages.reduce((sum, one) => sum + one.cancels, 0);
  const inState = (state: string): number => backings.filter(({ server }) => server.state === state).length;
  const console = database === overview.config.admin?.console;
  const entry = console ? undefined : await overview.entry(database);
  return {
    database,
    user,
    cl_active: usages.length - waiting.length,
    cl_waiting: waiting.length,
    cl_active_cancel_req: cancels,
    cl_waiting_cancel_req: 0,
    sv_active: inState('lent'),
    sv_active_cancel: cancels,
    sv_being_canceled: 0,
    sv_idle: inState('idle'),
    sv_used: 0,
    sv_tested: inState('resetting'),
    sv_login: inState('opening'),
    maxwait: Math.floor(longest / 1_000),
    maxwait_us: (longest % 1_000) * 1_000,
    pool_mode: console ? 'statement' : (entry?.database?.pool.mode ?? null),
    load_balance_hosts: loadBalance(entry?.database && hostsOf(entry.database)),
  };
}

/** One row for each. */
export async function showPools(overview: Overview): Promise<Table> {
  return table(POOL_COLUMNS, await Promise.all(poolGroups(overview).map((group) => row(group, overview))));
}

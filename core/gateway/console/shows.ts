/** Everything that `SHOW` knows in the console. */
import { ownVersion } from '../own-version.ts';
import type { Overview } from '../overview.ts';
import { CONFIG_COLUMNS, showConfig } from './show-config.ts';
import { CLIENT_COLUMNS, SERVER_COLUMNS, showClients, showServers } from './show-connections.ts';
import { DATABASE_COLUMNS, showDatabases } from './show-databases.ts';
import { LIST_COLUMNS, STATE_COLUMNS, showLists, showState } from './show-lists.ts';
import { POOL_COLUMNS, showPools } from './show-pools.ts';
import { STATS_BOTH_COLUMNS, STATS_COLUMNS, showAverages, showStats, showTotals } from './show-stats.ts';
import { table } from './table.ts';
import type { Columns, Table } from './table.ts';

/** A result whose columns are known before it is asked for. */
export interface Show {
  readonly columns: Columns;
  rows(overview: Overview): Table | Promise<Table>;
}

const VERSION_COLUMNS = { version: 'text' } as const satisfies Columns;

/** By the word behind `SHOW`, in upper case. */
export const SHOWS: Readonly<Record<string, Show>> = {
  POOLS: { columns: POOL_COLUMNS, rows: showPools },
  CLIENTS: { columns: CLIENT_COLUMNS, rows: showClients },
  SERVERS: { columns: SERVER_COLUMNS, rows: showServers },
  STATS: { columns: STATS_BOTH_COLUMNS, rows: showStats },
  STATS_TOTALS: { columns: STATS_COLUMNS, rows: showTotals },
  STATS_AVERAGES: { columns: STATS_COLUMNS, rows: showAverages },
  DATABASES: { columns: DATABASE_COLUMNS, rows: showDatabases },
  LISTS: { columns: LIST_COLUMNS, rows: showLists },
  STATE: { columns: STATE_COLUMNS, rows: showState },
  CONFIG: { columns: CONFIG_COLUMNS, rows: showConfig },
  VERSION: {
    columns: VERSION_COLUMNS,
    rows: () => table(VERSION_COLUMNS, [{ version: `Postern ${ownVersion()}` }]),
  },
};

/** What drivers ask for or set in every session, with the values that hold here. */
const PARAMETERS: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
  datestyle: 'ISO',
  timezone: 'GMT',
  extra_float_digits: '2',
  application_name: '',
  default_transaction_isolation: 'read committed',
};

/** `SHOW` of a run-time parameter; undefined for those that the console does not pretend to have. */
export function fakeParameter(name: string): Show | undefined {
  const key = name.toLowerCase();
  const value = Object.hasOwn(PARAMETERS, key) ? PARAMETERS[key] : undefined;
  if (value === undefined) return undefined;
  const columns: Columns = { [key]: 'text' };
  return { columns, rows: () => table(columns, [{ [key]: value }]) };
}

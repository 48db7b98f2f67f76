/** Everything that `SHOW` knows in the console. */
import { ownVersion } from '../own-version.ts';
import type { Overview } from '../overview.ts';
import { CONFIG_COLUMNS, showConfig } from './show-config.ts';
import { CLIENT_COLUMNS, SERVER_COLUMNS, showClients, showServers } from './show-connections.ts';
import { DATABASE_COLUMNS, showDatabases } from './show-databases.ts';
import { FILE_COLUMNS, showFiles } from './show-files.ts';
import { LIST_COLUMNS, STATE_COLUMNS, showLists, showState } from './show-lists.ts';
import { MEMORY_COLUMNS, showMemory } from './show-memory.ts';
import { POOL_COLUMNS, showPools } from './show-pools.ts';
import { SOCKET_COLUMNS, showActiveSockets, showSockets } from './show-sockets.ts';
import { STATS_BOTH_COLUMNS, STATS_COLUMNS, showAverages, showStats, showStatsTotals } from './show-stats.ts';
import { TOTALS_COLUMNS, showTotals } from './show-totals.ts';
import { USER_COLUMNS, showUsers } from './show-users.ts';
import { table } from './table.ts';
import type { Columns, Table } from './table.ts';

/** A result whose columns are known before it is asked for. */
export interface Show {
  readonly columns: Columns;
  rows(overview: Overview): Table | Promise<Table>;
}

/** The version of PgBouncer whose columns are all there: exporters choose what they ask for by it. */
const AS_PGBOUNCER = '1.25.0';

const VERSION_COLUMNS = { version: 'text' } as const satisfies Columns;

/** What there is none of: the gateway keeps no names of hosts, and knows no other gateways. */
const none = (columns: Columns): Show => ({ columns, rows: () => table(columns, []) });

/** By the word behind `SHOW`, in upper case. */
export const SHOWS: Readonly<Record<string, Show>> = {
  CONFIG: { columns: CONFIG_COLUMNS, rows: showConfig },
  DATABASES: { columns: DATABASE_COLUMNS, rows: showDatabases },
  POOLS: { columns: POOL_COLUMNS, rows: showPools },
  CLIENTS: { columns: CLIENT_COLUMNS, rows: showClients },
  SERVERS: { columns: SERVER_COLUMNS, rows: showServers },
  USERS: { columns: USER_COLUMNS, rows: showUsers },
  VERSION: {
    columns: VERSION_COLUMNS,
    rows: () => table(VERSION_COLUMNS, [{ version: `PgBouncer ${AS_PGBOUNCER} (Postern ${ownVersion()})` }]),
  },
  PEERS: none({ peer_id: 'int4', host: 'text', port: 'int4', pool_size: 'int4' }),
  PEER_POOLS: none({
    peer_id: 'int4',
    cl_active_cancel_req: 'int4',
    cl_waiting_cancel_req: 'int4',
    sv_active_cancel: 'int4',
    sv_login: 'int4',
  }),
  FDS: { columns: FILE_COLUMNS, rows: showFiles },
  SOCKETS: { columns: SOCKET_COLUMNS, rows: showSockets },
  ACTIVE_SOCKETS: { columns: SOCKET_COLUMNS, rows: showActiveSockets },
  LISTS: { columns: LIST_COLUMNS, rows: showLists },
  MEM: { columns: MEMORY_COLUMNS, rows: showMemory },
  STATE: { columns: STATE_COLUMNS, rows: showState },
  DNS_HOSTS: none({ hostname: 'text', ttl: 'int8', addrs: 'text' }),
  DNS_ZONES: none({ zonename: 'text', serial: 'int8', count: 'int4' }),
  STATS: { columns: STATS_BOTH_COLUMNS, rows: showStats },
  STATS_TOTALS: { columns: STATS_COLUMNS, rows: showStatsTotals },
  STATS_AVERAGES: { columns: STATS_COLUMNS, rows: showAverages },
  TOTALS: { columns: TOTALS_COLUMNS, rows: showTotals },
};

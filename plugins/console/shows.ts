/** Everything that `SHOW` knows in the console. */
import type { Overview, OverviewParts } from '../../core/index.ts';
import type { Answer } from './command.ts';
import { silentNotice } from './silent-notice.ts';
import { CONFIG_COLUMNS, showConfig } from './show-config.ts';
import { CLIENT_COLUMNS, SERVER_COLUMNS, showClients, showServers } from './show-connections.ts';
import { DATABASE_COLUMNS, showDatabases } from './show-databases.ts';
import { FILE_COLUMNS, showFiles } from './show-files.ts';
import { LIST_COLUMNS, STATE_COLUMNS, showLists, showState } from './show-lists.ts';
import { MEMORY_COLUMNS, showMemory } from './show-memory.ts';
import { PEER_COLUMNS, showPeers } from './show-peers.ts';
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
  /** `own`: the name of this console. */
  answer(overview: Overview, own: string): Promise<Answer>;
}

type Parts = keyof OverviewParts;

/** One that shows what all workers have of these parts. */
function of<P extends Parts>(
  columns: Columns,
  parts: readonly P[],
  rows: (read: Pick<OverviewParts, P>, own: string, overview: Overview) => Table,
): Show {
  return {
    columns,
    async answer(overview, own) {
      const read = await overview.read(...parts);
      return { tag: 'SHOW', table: rows(read, own, overview), notice: silentNotice(read) };
    },
  };
}

/** One that is the same in all workers. */
const same = (columns: Columns, rows: (overview: Overview) => Table | Promise<Table>): Show => ({
  columns,
  answer: async (overview) => ({ tag: 'SHOW', table: await rows(overview) }),
});

/** The version of PgBouncer whose columns are all there: exporters choose what they ask for by it. */
const AS_PGBOUNCER = '1.25.0';

const VERSION_COLUMNS = { version: 'text' } as const satisfies Columns;

/** What there is none of: the gateway keeps no names of hosts, and cancels of other instances have no pools. */
const none = (columns: Columns): Show => same(columns, () => table(columns, []));

/** By the word behind `SHOW`, in upper case. */
export const SHOWS: Readonly<Record<string, Show>> = {
  CONFIG: same(CONFIG_COLUMNS, showConfig),
  DATABASES: of(DATABASE_COLUMNS, ['entries'], showDatabases),
  POOLS: of(POOL_COLUMNS, ['pools', 'entries'], showPools),
  CLIENTS: of(CLIENT_COLUMNS, ['sessions'], showClients),
  SERVERS: of(SERVER_COLUMNS, ['sessions', 'servers'], showServers),
  USERS: of(USER_COLUMNS, ['pools', 'entries'], showUsers),
  VERSION: same(VERSION_COLUMNS, ({ version }) =>
    table(VERSION_COLUMNS, [{ version: `PgBouncer ${AS_PGBOUNCER} (Postern ${version})` }]),
  ),
  PEERS: same(PEER_COLUMNS, showPeers),
  PEER_POOLS: none({
    peer_id: 'int4',
    cl_active_cancel_req: 'int4',
    cl_waiting_cancel_req: 'int4',
    sv_active_cancel: 'int4',
    sv_login: 'int4',
  }),
  FDS: {
    columns: FILE_COLUMNS,
    async answer(overview) {
      const read = await overview.read('sessions', 'servers');
      return { tag: 'SHOW', table: showFiles(read, overview.addresses()), notice: silentNotice(read) };
    },
  },
  SOCKETS: of(SOCKET_COLUMNS, ['sessions', 'servers', 'arriving'], showSockets),
  ACTIVE_SOCKETS: of(SOCKET_COLUMNS, ['sessions', 'servers', 'arriving'], showActiveSockets),
  LISTS: of(LIST_COLUMNS, ['sessions', 'servers', 'arriving', 'pools', 'entries'], (read, _, overview) =>
    showLists(read, overview),
  ),
  MEM: of(MEMORY_COLUMNS, ['memory'], showMemory),
  STATE: same(STATE_COLUMNS, showState),
  DNS_HOSTS: none({ hostname: 'text', ttl: 'int8', addrs: 'text' }),
  DNS_ZONES: none({ zonename: 'text', serial: 'int8', count: 'int4' }),
  STATS: of(STATS_BOTH_COLUMNS, ['totals', 'lastPeriod'], showStats),
  STATS_TOTALS: of(STATS_COLUMNS, ['totals', 'lastPeriod'], showStatsTotals),
  STATS_AVERAGES: of(STATS_COLUMNS, ['totals', 'lastPeriod'], showAverages),
  TOTALS: of(TOTALS_COLUMNS, ['totals', 'lastPeriod'], showTotals),
};

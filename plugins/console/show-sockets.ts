/** `SHOW SOCKETS` and `SHOW ACTIVE_SOCKETS`: every connection with what is in its buffers. */
import type { ArrivingSession, OverviewParts, SocketReading } from '../../core/index.ts';
import { CONNECTION_COLUMNS, CLIENT_COLUMNS, clientRow, serverRow, time } from './show-connections.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/** PgBouncer's. */
const BUFFERS = {
  recv_pos: 'int4',
  pkt_pos: 'int4',
  pkt_remain: 'int4',
  send_pos: 'int4',
  send_remain: 'int4',
  pkt_avail: 'int4',
  send_avail: 'int4',
} as const satisfies Columns;

const { replication, prepared_statements, id } = CLIENT_COLUMNS;

/** Of both. */
export const SOCKET_COLUMNS = {
  ...CONNECTION_COLUMNS,
  ...BUFFERS,
  replication,
  prepared_statements,
  id,
} as const satisfies Columns;

type SocketRow = Row<typeof SOCKET_COLUMNS>;
type Connected = Omit<SocketRow, keyof typeof BUFFERS>;

/** A row, and how many bytes the connection has that have not gone on yet. */
interface Socket {
  readonly row: SocketRow;
  readonly pending: number;
}

/** There are no positions in a buffer of the connection's own: all of them read into one. */
function socket(row: Connected, state: string, is: SocketReading | undefined): Socket {
  const { received = 0, queued = 0 } = is ?? {};
  const nowhere = { recv_pos: null, pkt_pos: null, pkt_remain: null, send_pos: null, send_remain: null };
  return {
    row: { ...row, state, ...nowhere, pkt_avail: received, send_avail: queued },
    pending: received + queued,
  };
}

/** One that has not found its entry yet: its socket belongs to the login. */
function arriving({ id, user, database, client, startedAt, applicationName }: ArrivingSession): Socket {
  const row = {
    type: 'C',
    user,
    database,
    addr: client.address,
    port: client.port,
    local_addr: null,
    local_port: null,
    connect_time: time(startedAt),
    request_time: time(startedAt),
    wait: 0,
    wait_us: 0,
    close_needed: 0,
    ptr: id,
    link: '',
    remote_pid: 0,
    tls: null,
    application_name: applicationName,
    replication: null,
    prepared_statements: 0,
    id,
    state: '',
  };
  return socket(row, 'cl_login', undefined);
}

/** PgBouncer's words for server connections here. */
const SERVER_STATES: Readonly<Record<string, string>> = { new: 'sv_login' };

type Connections = Pick<OverviewParts, 'sessions' | 'servers' | 'arriving'>;

function sockets({ sessions, ...read }: Connections): readonly Socket[] {
  const clients = sessions.map((session) => {
    const row = clientRow(session);
    return socket(row, `cl_${row.state}`, session.socket);
  });
  const servers = read.servers.map((server) => {
    const row = serverRow(server, sessions);
    const state = SERVER_STATES[String(row.state)] ?? `sv_${row.state}`;
    return socket(row, state, server.socket);
  });
  return [...clients, ...servers, ...read.arriving.map(arriving)];
}

/** All of them. */
export function showSockets(read: Connections): Table {
  return table(
    SOCKET_COLUMNS,
    sockets(read).map(({ row }) => row),
  );
}

/** Those with bytes that have not gone on yet. */
export function showActiveSockets(read: Connections): Table {
  const active = sockets(read).filter(({ pending }) => pending > 0);
  return table(
    SOCKET_COLUMNS,
    active.map(({ row }) => row),
  );
}

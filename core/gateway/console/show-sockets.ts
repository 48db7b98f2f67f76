/** `SHOW SOCKETS` and `SHOW ACTIVE_SOCKETS`: every connection with what is in its buffers. */
import type { OpenSession } from '../../connection/open-session.ts';
import type { Channel } from '../../net/channel.ts';
import type { Overview } from '../overview.ts';
import {
  CONNECTION_COLUMNS,
  CLIENT_COLUMNS,
  clientRow,
  linked,
  serverRow,
  time,
} from './show-connections.ts';
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
function socket(row: Connected, state: string, channel: Channel | undefined): Socket {
  const [received, queued] = [channel?.kept ?? 0, channel?.queued ?? 0];
  const nowhere = { recv_pos: null, pkt_pos: null, pkt_remain: null, send_pos: null, send_remain: null };
  return {
    row: { ...row, state, ...nowhere, pkt_avail: received, send_avail: queued },
    pending: received + queued,
  };
}

/** One that has not found its entry yet: its socket belongs to the login. */
function arriving({ id, client, startup, startedAt }: OpenSession): Socket {
  const row = {
    type: 'C',
    user: startup.user,
    database: startup.database,
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
    application_name: startup.parameters['application_name'] ?? '',
    replication: null,
    prepared_statements: 0,
    id,
    state: '',
  };
  return socket(row, 'cl_login', undefined);
}

/** PgBouncer's words for server connections here. */
const SERVER_STATES: Readonly<Record<string, string>> = { new: 'sv_login' };

function sockets(overview: Overview): readonly Socket[] {
  const clients = linked(overview).map(([usage, link]) => {
    const row = clientRow(usage, link);
    return socket(row, `cl_${row.state}`, usage.channel);
  });
  const servers = overview.backings().map((backing) => {
    const row = serverRow(backing);
    const state = SERVER_STATES[String(row.state)] ?? `sv_${row.state}`;
    return socket(row, state, backing.server.connection?.channel);
  });
  return [...clients, ...servers, ...overview.arriving.map(arriving)];
}

/** All of them. */
export function showSockets(overview: Overview): Table {
  return table(
    SOCKET_COLUMNS,
    sockets(overview).map(({ row }) => row),
  );
}

/** Those with bytes that have not gone on yet. */
export function showActiveSockets(overview: Overview): Table {
  const active = sockets(overview).filter(({ pending }) => pending > 0);
  return table(
    SOCKET_COLUMNS,
    active.map(({ row }) => row),
  );
}

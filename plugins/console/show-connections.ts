/** `SHOW CLIENTS` and `SHOW SERVERS`: every connection, as PgBouncer lists them. */
import type { OverviewParts, ServerReading, SessionReading, SocketReading } from '../../core/index.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/** PgBouncer's columns of every connection. */
export const CONNECTION_COLUMNS = {
  type: 'text',
  user: 'text',
  database: 'text',
  state: 'text',
  addr: 'text',
  port: 'int4',
  local_addr: 'text',
  local_port: 'int4',
  connect_time: 'text',
  request_time: 'text',
  wait: 'int4',
  wait_us: 'int4',
  close_needed: 'int4',
  ptr: 'text',
  link: 'text',
  remote_pid: 'int4',
  tls: 'text',
  application_name: 'text',
} as const satisfies Columns;

/** Those of its newer versions: behind the last of the older ones, so that these are where they have always been. */
const NEWER = { id: 'text', replication: 'text', prepared_statements: 'int4' } as const satisfies Columns;

/** `SHOW CLIENTS`: `id` is what `KILL_CLIENT` takes, `subject` the token's; `pool_mode` is that of this session. */
export const CLIENT_COLUMNS = {
  ...CONNECTION_COLUMNS,
  ...NEWER,
  subject: 'text',
  pool_mode: 'text',
} as const satisfies Columns;
/** `SHOW SERVERS`: how many statements are prepared there under names of the gateway's. */
export const SERVER_COLUMNS = { ...CONNECTION_COLUMNS, ...NEWER } as const satisfies Columns;

/** A time as PgBouncer shows it. @example `2026-01-31 12:00:00 UTC` */
export const time = (ms: number): string =>
  new Date(ms).toISOString().replace('T', ' ').replace(/\..*/, ' UTC');

/** Each worker counts its own. */
const serverId = (serial: number, worker: number | undefined): string =>
  worker === undefined ? `server-${serial}` : `server-w${worker}-${serial}`;

/** The version and the cipher, as far as the system tells. */
function tlsOf(socket: SocketReading | undefined): string {
  return [socket?.tls?.version, socket?.tls?.cipher].filter(Boolean).join('/');
}

function waitOf(since: number | undefined): { readonly wait: number; readonly wait_us: number } {
  const ms = since === undefined ? 0 : Math.max(0, Date.now() - since);
  return { wait: Math.floor(ms / 1_000), wait_us: (ms % 1_000) * 1_000 };
}

/** A session that has found its entry. */
export function clientRow(session: SessionReading): Row<typeof CLIENT_COLUMNS> {
  const { id, client, socket, server } = session;
  return {
    type: 'C',
    user: session.role,
    database: session.entry,
    state: session.waitingSince === undefined ? 'active' : 'waiting',
    addr: client.address,
    port: client.port,
    local_addr: socket.localAddress ?? '',
    local_port: socket.localPort ?? 0,
    connect_time: time(session.startedAt),
    request_time: time(session.requestedAt),
    ...waitOf(session.waitingSince),
    close_needed: 0,
    ptr: id,
    link: server === undefined ? '' : serverId(server, session.worker),
    remote_pid: 0,
    tls: tlsOf(socket),
    application_name: session.applicationName,
    id,
    replication: session.replication,
    // Clients prepare on server connections: those of each are counted there.
    prepared_statements: null,
    subject: session.identity?.subject ?? null,
    pool_mode: session.mode ?? null,
  };
}

/** Every session that has found its entry. */
export function showClients({ sessions }: Pick<OverviewParts, 'sessions'>): Table {
  return table(CLIENT_COLUMNS, sessions.map(clientRow));
}

const STATES = { opening: 'new', idle: 'idle', resetting: 'tested', lent: 'active', closing: 'closing' };

/** A server connection; `sessions` are all there are. */
export function serverRow(
  server: ServerReading,
  sessions: readonly SessionReading[],
): Row<typeof SERVER_COLUMNS> {
  const { socket, madeAt } = server;
  const session = sessions.find(({ id }) => id === server.session);
  return {
    type: 'S',
    user: server.role,
    database: server.entry,
    state: STATES[server.state],
    addr: socket?.remoteAddress ?? (socket ? 'unix' : ''),
    port: socket?.remotePort ?? 0,
    local_addr: socket?.localAddress ?? '',
    local_port: socket?.localPort ?? 0,
    connect_time: time(madeAt),
    request_time: time(session?.requestedAt ?? madeAt),
    wait: 0,
    wait_us: 0,
    close_needed: server.closeNeeded ? 1 : 0,
    ptr: serverId(server.serial, server.worker),
    link: session?.id ?? '',
    remote_pid: server.pid ?? 0,
    tls: tlsOf(socket),
    application_name: server.applicationName,
    id: serverId(server.serial, server.worker),
    replication: session?.replication ?? 'none',
    prepared_statements: server.preparedStatements,
  };
}

/** Every server connection, those being opened or closed included. */
export function showServers({ sessions, servers }: Pick<OverviewParts, 'sessions' | 'servers'>): Table {
  return table(
    SERVER_COLUMNS,
    servers.map((server) => serverRow(server, sessions)),
  );
}

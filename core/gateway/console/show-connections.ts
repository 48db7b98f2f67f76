/** `SHOW CLIENTS` and `SHOW SERVERS`: every connection, as PgBouncer lists them. */
import { TLSSocket } from 'node:tls';
import type { Socket } from 'node:net';
import type { Usage } from '../../connection/usage.ts';
import type { Backing, Overview } from '../overview.ts';
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

const serverId = ({ server }: Backing): string => `server-${server.serial}`;

/** The version and the cipher, as far as the system tells. */
function tlsOf(socket: Socket | undefined): string {
  if (!(socket instanceof TLSSocket)) return '';
  return [socket.getProtocol(), socket.getCipher()?.name].filter(Boolean).join('/');
}

function waitOf(since: number | undefined): { readonly wait: number; readonly wait_us: number } {
  const ms = since === undefined ? 0 : Math.max(0, Date.now() - since);
  return { wait: Math.floor(ms / 1_000), wait_us: (ms % 1_000) * 1_000 };
}

/** A session that has found its entry, and the server connection that works for it. */
export function clientRow(usage: Usage, link: Backing | undefined): Row<typeof CLIENT_COLUMNS> {
  const { session, channel, parameters, server } = usage;
  const { socket } = channel;
  return {
    type: 'C',
    user: usage.role,
    database: usage.entry,
    state: usage.waitingSince === undefined ? 'active' : 'waiting',
    addr: session.client.address,
    port: session.client.port,
    local_addr: socket.localAddress ?? '',
    local_port: socket.localPort ?? 0,
    connect_time: time(session.startedAt),
    request_time: time(usage.requestedAt),
    ...waitOf(usage.waitingSince),
    close_needed: 0,
    ptr: session.id,
    link: link ? serverId(link) : '',
    remote_pid: 0,
    tls: tlsOf(socket),
    application_name:
      (server?.parameters ?? parameters).get('application_name') ??
      session.startup.parameters['application_name'] ??
      '',
    id: session.id,
    replication: usage.replication,
    // Clients prepare on server connections: those of each are counted there.
    prepared_statements: null,
    subject: session.facts.identity?.subject ?? null,
    pool_mode: usage.mode ?? null,
  };
}

/** Sessions by the server connection that works for each, if one does. */
export function linked(overview: Overview): readonly (readonly [Usage, Backing | undefined])[] {
  const links = new Map(overview.backings().map((backing) => [backing.user, backing]));
  return overview.usages.map((usage) => [usage, links.get(usage)]);
}

/** Every session that has found its entry. */
export function showClients(overview: Overview): Table {
  return table(
    CLIENT_COLUMNS,
    linked(overview).map(([usage, link]) => clientRow(usage, link)),
  );
}

/** In PgBouncer's words; `closing` is what it has no list for. */
const STATES = { opening: 'new', idle: 'idle', resetting: 'tested', lent: 'active', closing: 'closing' };

/** A server connection. */
export function serverRow(backing: Backing): Row<typeof SERVER_COLUMNS> {
  const { entry, pool, server, user } = backing;
  const { connection } = server;
  const socket = connection?.channel.socket;
  return {
    type: 'S',
    user: server.key.role,
    database: entry,
    state: STATES[server.state],
    addr: socket?.remoteAddress ?? (socket ? 'unix' : ''),
    port: socket?.remotePort ?? 0,
    local_addr: socket?.localAddress ?? '',
    local_port: socket?.localPort ?? 0,
    connect_time: time(server.madeAt),
    request_time: time(user?.requestedAt ?? server.madeAt),
    wait: 0,
    wait_us: 0,
    close_needed: pool.pendingCloses.mustClose(server) ? 1 : 0,
    ptr: serverId(backing),
    link: user?.session.id ?? '',
    remote_pid: connection?.pid ?? 0,
    tls: tlsOf(socket),
    application_name: connection?.parameters.get('application_name') ?? '',
    id: serverId(backing),
    replication: user?.replication ?? 'none',
    prepared_statements: connection?.prepared.size ?? 0,
  };
}

/** Every server connection, those being opened or closed included. */
export function showServers(overview: Overview): Table {
  return table(SERVER_COLUMNS, overview.backings().map(serverRow));
}

/** `SHOW FDS`: the open sockets of the process. PgBouncer hands them over to its successor by it; no key and no password is in it here. */
import type { Socket } from 'node:net';
import type { Usage } from '../../connection/usage.ts';
import type { Backing, Overview } from '../overview.ts';
import { linked } from './show-connections.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/** PgBouncer's columns. */
export const FILE_COLUMNS = {
  fd: 'int4',
  task: 'text',
  user: 'text',
  database: 'text',
  addr: 'text',
  port: 'int4',
  cancel: 'int8',
  link: 'int4',
  client_encoding: 'text',
  std_strings: 'text',
  datestyle: 'text',
  timezone: 'text',
  password: 'text',
  scram_client_key: 'bytea',
  scram_server_key: 'bytea',
} as const satisfies Columns;

type FileRow = Row<typeof FILE_COLUMNS>;

/** What would let somebody act for somebody else: never shown. */
const SECRET = { cancel: null, password: null, scram_client_key: null, scram_server_key: null };

/** The system's number, where the runtime tells it; -1 is none. */
function numberOf(socket: Socket | undefined): number | null {
  const { _handle: handle } = (socket ?? {}) as { readonly _handle?: { readonly fd?: unknown } | null };
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : null;
}

const serverSocket = (backing: Backing | undefined): Socket | undefined =>
  backing?.server.connection?.channel.socket;

function settings(
  parameters: ReadonlyMap<string, string> | undefined,
): Pick<FileRow, 'client_encoding' | 'std_strings' | 'datestyle' | 'timezone'> {
  const of = (name: string): string | null => parameters?.get(name) ?? null;
  return {
    client_encoding: of('client_encoding'),
    std_strings: of('standard_conforming_strings'),
    datestyle: of('DateStyle'),
    timezone: of('TimeZone'),
  };
}

function client([usage, link]: readonly [Usage, Backing | undefined]): FileRow {
  const { session, entry, role, channel, server, parameters } = usage;
  return {
    fd: numberOf(channel.socket),
    task: 'client',
    user: role,
    database: entry,
    addr: session.client.address,
    port: session.client.port,
    link: numberOf(serverSocket(link)) ?? 0,
    ...settings(server?.parameters ?? parameters),
    ...SECRET,
  };
}

function server(backing: Backing): FileRow {
  const { entry, server, user } = backing;
  const socket = serverSocket(backing);
  return {
    fd: numberOf(socket),
    task: 'server',
    user: server.key.role,
    database: entry,
    addr: socket?.remoteAddress ?? (socket ? 'unix' : null),
    port: socket?.remotePort ?? 0,
    link: numberOf(user?.channel.socket) ?? 0,
    ...settings(server.connection?.parameters),
    ...SECRET,
  };
}

/** Where clients connect, then the clients that have found their entry, then the servers. */
export function showFiles(overview: Overview): Table {
  const listeners = overview.addresses().map(({ host, port }) => ({
    fd: null,
    task: 'pooler',
    user: null,
    database: null,
    addr: host,
    port,
    link: 0,
    ...settings(undefined),
    ...SECRET,
  }));
  const rows = [...listeners, ...linked(overview).map(client), ...overview.backings().map(server)];
  return table(FILE_COLUMNS, rows);
}

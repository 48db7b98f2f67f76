/** `SHOW FDS`: the open sockets of the gateway's processes. PgBouncer hands them over to its successor by it; no key and no password is in it here. */
import type { Overview, OverviewParts, ServerReading, SessionReading } from '../../core/index.ts';
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

type Parameters = SessionReading['parameters'];

function settings(
  parameters: Parameters | undefined,
): Pick<FileRow, 'client_encoding' | 'std_strings' | 'datestyle' | 'timezone'> {
  const of = (name: string): string | null => parameters?.[name] ?? null;
  return {
    client_encoding: of('client_encoding'),
    std_strings: of('standard_conforming_strings'),
    datestyle: of('DateStyle'),
    timezone: of('TimeZone'),
  };
}

function client(session: SessionReading, servers: readonly ServerReading[]): FileRow {
  const link = servers.find(({ serial, worker }) => serial === session.server && worker === session.worker);
  return {
    fd: session.socket.fd ?? null,
    task: 'client',
    user: session.role,
    database: session.entry,
    addr: session.client.address,
    port: session.client.port,
    link: link?.socket?.fd ?? 0,
    ...settings(session.parameters),
    ...SECRET,
  };
}

function server({ entry, role, socket, ...is }: ServerReading, sessions: readonly SessionReading[]): FileRow {
  const session = sessions.find(({ id }) => id === is.session);
  return {
    fd: socket?.fd ?? null,
    task: 'server',
    user: role,
    database: entry,
    addr: socket?.remoteAddress ?? (socket ? 'unix' : null),
    port: socket?.remotePort ?? 0,
    link: session?.socket.fd ?? 0,
    ...settings(is.parameters),
    ...SECRET,
  };
}

/** Where clients connect, then the clients that have found their entry, then the servers. */
export function showFiles(
  { sessions, servers }: Pick<OverviewParts, 'sessions' | 'servers'>,
  addresses: ReturnType<Overview['addresses']>,
): Table {
  const listeners = addresses.map(({ host, port }) => ({
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
  const rows = [
    ...listeners,
    ...sessions.map((session) => client(session, servers)),
    ...servers.map((one) => server(one, sessions)),
  ];
  return table(FILE_COLUMNS, rows);
}

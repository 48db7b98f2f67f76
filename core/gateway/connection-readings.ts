/** Sessions and server connections as plain values, for operators. */
import { TLSSocket } from 'node:tls';
import type { OpenSession } from '../connection/open-session.ts';
import type { Usage } from '../connection/usage.ts';
import type { ArrivingSession, ServerReading, SessionReading, SocketReading } from '../contract/overview.ts';
import type { Channel } from '../net/channel.ts';
import type { ChannelSocket } from '../net/socket-events.ts';
import type { Backing } from './overview.ts';

/** The system's number, where the runtime tells it; -1 is none. */
function fileOf(socket: ChannelSocket): number | undefined {
  const { _handle: handle } = socket as { readonly _handle?: { readonly fd?: unknown } | null };
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}

function tlsOf(socket: ChannelSocket): SocketReading['tls'] {
  if (!(socket instanceof TLSSocket)) return undefined;
  return { version: socket.getProtocol() ?? undefined, cipher: socket.getCipher()?.name };
}

function socketReading({ socket, kept, queued }: Channel): SocketReading {
  return {
    fd: fileOf(socket),
    remoteAddress: socket.remoteAddress,
    remotePort: socket.remotePort,
    localAddress: socket.localAddress,
    localPort: socket.localPort,
    tls: tlsOf(socket),
    received: kept,
    queued,
  };
}

const applicationIn = (startup: OpenSession['startup']): string =>
  startup.parameters['application_name'] ?? '';

/** `link`: the pooled server connection that it has now. */
function sessionReading(usage: Usage, link: Backing | undefined): SessionReading {
  const { session, server } = usage;
  const { id, state, stateSince, startedAt, client, facts, startup } = session;
  const parameters = server?.parameters ?? usage.parameters;
  return {
    id,
    entry: usage.entry,
    role: usage.role,
    mode: usage.mode,
    state,
    stateSince,
    waitingSince: usage.waitingSince,
    startedAt,
    requestedAt: usage.requestedAt,
    client,
    identity: facts.identity && { issuer: facts.identity.issuer, subject: facts.identity.subject },
    applicationName: parameters.get('application_name') ?? applicationIn(startup),
    parameters: Object.fromEntries(parameters),
    replication: usage.replication,
    cancels: usage.cancels,
    server: link?.server.serial,
    serverPid: server?.pid,
    socket: socketReading(usage.channel),
  };
}

/** Of each session, in this order; `backings` are all there are. */
export function sessionReadings(
  usages: readonly Usage[],
  backings: readonly Backing[],
): readonly SessionReading[] {
  const links = new Map(backings.map((backing) => [backing.user, backing]));
  return usages.map((usage) => sessionReading(usage, links.get(usage)));
}

/** Of a session that has not found its entry yet. */
export function arrivingReading({ id, client, startup, startedAt }: OpenSession): ArrivingSession {
  const { user, database } = startup;
  return { id, user, database, applicationName: applicationIn(startup), startedAt, client };
}

/** Of a server connection. */
export function serverReading({ entry, pool, server, user }: Backing): ServerReading {
  const { serial, key, state, madeAt, connection } = server;
  return {
    serial,
    entry,
    role: key.role,
    state,
    madeAt,
    closeNeeded: pool.pendingCloses.mustClose(server),
    pid: connection?.pid,
    applicationName: connection?.parameters.get('application_name') ?? '',
    parameters: Object.fromEntries(connection?.parameters ?? []),
    preparedStatements: connection?.prepared.size ?? 0,
    session: user?.session.id,
    socket: connection && socketReading(connection.channel),
  };
}

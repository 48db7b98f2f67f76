/** What operators see over HTTP, as JSON. */
import type {
  EntryReading,
  FleetOrder,
  FleetReading,
  PeerReading,
  RoleReading,
  SessionReading,
  Silent,
} from '../../core/index.ts';

/** A database, known or not. */
export function databaseView({ settings, ...entry }: EntryReading & Silent): object {
  const { name, paused, disabled, connections, sessions, inSessionMode, waiting, fleet, silent } = entry;
  return {
    name,
    configured: settings !== undefined,
    paused,
    disabled,
    fleet: fleet && {
      paused: fleet.paused && orderView(fleet.paused),
      disabled: fleet.disabled && orderView(fleet.disabled),
    },
    mode: settings?.mode,
    clientMode: settings?.clientMode,
    size: settings?.size,
    mostSessions: settings?.mostSessions,
    connections,
    sessions,
    inSessionMode,
    waiting,
    silent,
  };
}

/** An order to the whole fleet. */
function orderView({ by, since, until }: FleetOrder): object {
  return { by, since: new Date(since), until: until === undefined ? undefined : new Date(until) };
}

/** A session that has found its database. */
export function sessionView(session: SessionReading): object {
  const { id, entry, role, mode, state, stateSince, waitingSince, client, identity, worker } = session;
  return {
    id,
    database: entry,
    role,
    mode,
    state: waitingSince === undefined ? state : 'waiting',
    since: new Date(waitingSince ?? stateSince),
    startedAt: new Date(session.startedAt),
    address: client.address,
    listener: client.listener,
    issuer: identity?.issuer,
    subject: identity?.subject,
    serverPid: session.serverPid,
    worker,
  };
}

/** Who uses a database as a role, who waits, and what its server connections do. */
export function poolView({ entry, role, sessions, clients, longestWaitMs, servers }: RoleReading): object {
  return { database: entry, role, sessions, waiting: clients.waiting, longestWaitMs, servers };
}

/** The fleet, as this instance knows it. */
export function fleetView({
  name,
  id,
  instance,
  staleSince,
  isStale,
  limitsAwaySince,
  away,
  instances,
}: FleetReading): object {
  return {
    name,
    id,
    instance,
    stale: isStale,
    staleSince: dateOf(staleSince),
    limitsAwaySince: dateOf(limitsAwaySince),
    away,
    instances: instances.map(peerView),
  };
}

const dateOf = (ms: number | undefined): Date | undefined => (ms === undefined ? undefined : new Date(ms));

function peerView({ since, ...peer }: PeerReading): object {
  const { id, number, name, version, config, sessions, workers, draining, lagMs } = peer;
  return { id, number, name, version, config, since: new Date(since), sessions, workers, draining, lagMs };
}

/** What operators see of a running gateway: the service `overview`. Read when it is asked for, never counted for it. */
import type { Credential } from './credential.ts';
import type { HostAddress } from './database.ts';
import type { PoolOptions } from './pool.ts';
import type { Actor, HookName } from './events.ts';
import type { Fleet, FleetInstance } from './fleet.ts';
import type { FleetOrder } from './operations.ts';
import type { RoleReading, TotalsReading } from './readings.ts';
import type { Scope } from './scope.ts';
import type { Client, SessionState } from './session.ts';

/** The socket of a client or of a server connection. Undefined is what the system does not tell (any more). */
export interface SocketReading {
  /** The file descriptor. */
  readonly fd: number | undefined;
  /** The peer's IP address. A unix socket has none. */
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  /** Undefined: plaintext. */
  readonly tls: { readonly version: string | undefined; readonly cipher: string | undefined } | undefined;
  /** Bytes that have come and have not gone on yet, inside TLS. */
  readonly received: number;
  /** Bytes that are to be sent and that the system has not taken yet. */
  readonly queued: number;
}

/** Whose row it is. */
export interface OfWorker {
  /** The number of the worker. Absent: the gateway has one process only. */
  readonly worker?: number;
}

/** A session that has found its entry. */
export interface SessionReading extends OfWorker {
  /** As `Session.id`: what `Operations.endSession` takes. */
  readonly id: string;
  /** The key of `databases`, or the name that `'*'` or the function serves; in a session with the gateway itself the name it asked for. */
  readonly entry: string;
  readonly role: string;
  /** How it uses its pool. Undefined: it has none. */
  readonly mode: NonNullable<PoolOptions['mode']> | undefined;
  readonly state: SessionState;
  /** Milliseconds since the epoch, as are all moments here. */
  readonly stateSince: number;
  /** Since when it waits for a server connection. Undefined: it does not. */
  readonly waitingSince: number | undefined;
  readonly startedAt: number;
  /** When its last request came; before the first one as `startedAt`. */
  readonly requestedAt: number;
  readonly client: Client;
  /** Undefined: no plugin has established `identity`. */
  readonly identity: Actor | undefined;
  /** Empty where it has none. */
  readonly applicationName: string;
  /** The parameters that the client believes to be in force, by the names of ParameterStatus. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly replication: 'none' | 'logical' | 'physical';
  /** Cancels of its own that are under way. */
  readonly cancels: number;
  /** The `serial` of the pooled server connection of the same worker that it has now. Undefined: none. */
  readonly server: number | undefined;
  /** The process of its present server connection, a pooled one or not: 0 where the server told none. Undefined: none. */
  readonly serverPid: number | undefined;
  readonly socket: SocketReading;
}

/** A session that has not found its entry yet. */
export interface ArrivingSession extends OfWorker {
  readonly id: string;
  /** As the client's startup packet has them. */
  readonly user: string;
  readonly database: string;
  /** Empty where it has none. */
  readonly applicationName: string;
  readonly startedAt: number;
  readonly client: Client;
}

/** A server connection, from the decision to open it until its socket is closed. */
export interface ServerReading extends OfWorker {
  /** Tells server connections of one worker apart while it lives; from 1 on. */
  readonly serial: number;
  readonly entry: string;
  readonly role: string;
  readonly state: keyof RoleReading['servers'];
  /** When it was decided to open it. */
  readonly madeAt: number;
  /** It is closed once it is free: an operator or a reload has it replaced, or its entry is paused. */
  readonly closeNeeded: boolean;
  /** The server's process; 0 where the server told none, undefined while it is being opened. */
  readonly pid: number | undefined;
  /** Empty where it has none. */
  readonly applicationName: string;
  /** The newest ParameterStatus values by name; empty while it is being opened. */
  readonly parameters: Readonly<Record<string, string>>;
  /** How many statements the gateway has prepared there. */
  readonly preparedStatements: number;
  /** The `id` of the session that has it now. Undefined: none. */
  readonly session: string | undefined;
  /** Undefined while it is being opened. */
  readonly socket: SocketReading | undefined;
}

/** What the config in force says of an entry. */
export interface EntrySettings {
  /** In the order of the config. */
  readonly hosts: readonly Required<HostAddress>[];
  /** Name on the server. */
  readonly database: string;
  /** The role that logs in, where that is not the mapped one (`login.kind` `'set-role'`). */
  readonly loginRole: string | undefined;
  readonly mode: NonNullable<PoolOptions['mode']>;
  readonly clientMode: NonNullable<PoolOptions['clientMode']>;
  /** Most server connections. */
  readonly size: number;
  /** Most of them for one role. Undefined: no limit but `size`. */
  readonly perRole: number | undefined;
  /** Most of them for clients that have chosen session mode. Undefined: no client may choose. */
  readonly mostSessions: number | undefined;
  readonly min: number;
  readonly reserve: number;
  /** How long a server connection is lent again. */
  readonly maxLifetimeMs: number;
}

/** An entry by the name that clients use. */
export interface EntryReading {
  readonly name: string;
  /** Undefined: the config in force has none of this name, or cannot tell now. */
  readonly settings: EntrySettings | undefined;
  /** An operator has paused it, alone or with all others. */
  readonly paused: boolean;
  /** An operator lets no new session in. */
  readonly disabled: boolean;
  /** The orders to the whole fleet that pause or disable it. Absent: there is none. */
  readonly fleet?: { readonly paused?: FleetOrder; readonly disabled?: FleetOrder };
  /** Server connections in any state. */
  readonly connections: number;
  readonly sessions: number;
  /** Sessions that keep their server connection until they end. */
  readonly inSessionMode: number;
  /** Sessions that wait for a server connection. */
  readonly waiting: number;
}

/** The last whole period of the statistics. */
export interface PeriodReading {
  /** How long it was. */
  readonly seconds: number;
  /** Totals at its begin and at its end, by entry. */
  readonly before: readonly TotalsReading[];
  readonly after: readonly TotalsReading[];
}

/** Memory of the processes of the gateway, in bytes. */
export interface MemoryReading {
  /** A space of the heap of V8 (`heap_…`), what lies outside of it (`external`, `array_buffers`), or all of it (`resident`). */
  readonly name: string;
  readonly used: number;
  readonly total: number;
}

/** What {@link Overview.read} reads. */
export interface OverviewParts {
  /** Sessions that have found their entry, those with the gateway itself included; the longest open first. */
  readonly sessions: readonly SessionReading[];
  /** Sessions that have not. */
  readonly arriving: readonly ArrivingSession[];
  /** Every server connection, those being opened or closed included. */
  readonly servers: readonly ServerReading[];
  /** By entry and role that a session or a server connection belongs to. */
  readonly pools: readonly RoleReading[];
  /** Entries of the config by name, and those that `'*'` or the function has served, or an operator has paused or disabled. */
  readonly entries: readonly EntryReading[];
  /** What the sessions of each entry have used since the start. A worker that has died takes what it has counted with it. */
  readonly totals: readonly TotalsReading[];
  /** The last whole minute. Undefined in the first one. */
  readonly lastPeriod: PeriodReading | undefined;
  readonly memory: readonly MemoryReading[];
}

/** An instance of the fleet, as operators see it. */
export interface PeerReading extends FleetInstance {
  /** That of its cancel keys. Undefined: it has none, or is not known by it yet. */
  readonly number: number | undefined;
}

/** The fleet, as this instance knows it. */
export interface FleetReading extends Pick<
  Fleet,
  'name' | 'id' | 'instance' | 'staleSince' | 'isStale' | 'limitsAwaySince' | 'away'
> {
  /** Those that live, this one first. */
  readonly instances: readonly PeerReading[];
}

/** Which workers are missing in what was read. */
export interface Silent {
  /** The numbers of workers that have not answered within a second. Absent: all have. */
  readonly silent?: readonly number[];
}

/** A setting of the config in force. None is a secret. */
export interface SettingReading {
  /** The path in the config, such as `databases.orders.pool.size`. */
  readonly key: string;
  /** Undefined: not set. */
  readonly value: string | undefined;
  /** Undefined: there is none. */
  readonly default: string | undefined;
  /** Whether a reload applies a change; else it needs a restart. */
  readonly reload: boolean;
}

/** A plugin of the config in force. */
export interface PluginReading {
  readonly name: string;
  readonly provides: readonly string[];
  readonly needs: readonly string[];
  /** Rules of tokens that it keeps. */
  readonly enforces: readonly string[];
  readonly hooks: readonly HookName[];
  /** Absent: it is for all. */
  readonly credentials?: readonly Credential[];
  /** Absent: it has no limits. */
  readonly scope?: Scope;
  /** Why it is not ready; empty: it is. */
  readonly problems: readonly string[];
}

/**
 * Everything an operator may see, of all workers of the gateway. Each call reads anew and takes time in proportion to what it lists; what one call of {@link read} reads
 * of one worker belongs together.
 */
export interface Overview {
  /** Of Postern. */
  readonly version: string;
  /** Whether all entries are paused, by one order. */
  readonly paused: boolean;
  /** Whether nothing is read from clients and servers. */
  readonly suspended: boolean;
  /** Undefined: the gateway is in none. */
  readonly fleet?: FleetReading | undefined;
  /** Where clients connect: an address, or the folder of a unix socket, and the port. */
  addresses(): readonly { readonly host: string; readonly port: number }[];
  /**
   * Reads these parts in all workers: rows are joined, numbers added up. Never rejects for a worker that does not answer.
   *
   * @example const { sessions, servers, silent = [] } = await overview.read('sessions', 'servers');
   */
  read<P extends keyof OverviewParts>(...parts: readonly P[]): Promise<Pick<OverviewParts, P> & Silent>;
  /** One of the entries, known or not. */
  entry(name: string): Promise<EntryReading & Silent>;
  /** In the order of `SHOW CONFIG`: of the gateway, of listeners, of entries. */
  settings(): Promise<readonly SettingReading[]>;
  /** In the order of the config. */
  plugins(): readonly PluginReading[];
}

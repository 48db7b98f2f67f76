/** A config as the gateway runs it: checked, with every default in place and every path absolute. */
import type { AdminOptions, GatewayConfig } from '../contract/config.ts';
import type { DatabaseOptions, Secret, UpstreamTls } from '../contract/database.ts';
import type { FleetStoreOptions, SentinelAddress } from '../contract/fleet-options.ts';
import type { FleetAway } from '../contract/fleet.ts';
import type { ListenOptions, ListenTls } from '../contract/listen.ts';
import type { Networks } from '../options/networks.ts';
import type { AnyPlugin } from '../contract/plugin.ts';
import type { MaybePromise } from '../contract/session.ts';
import type { StartupRules } from '../contract/startup-rules.ts';
import type { Target } from '../contract/target.ts';
import type { POOL_DEFAULTS } from '../upstream/pool/limits.ts';

/** One address to listen on. */
export interface ResolvedListener extends Required<Omit<ListenOptions, 'tls' | 'proxyProtocol' | 'mode'>> {
  /** Where it stands in the config, for messages: `listen[1]`. */
  readonly path: string;
  /** An address, or the folder of a unix socket, which is absolute. */
  readonly host: string;
  /** Permissions of a unix socket. Undefined: it is TCP. */
  readonly mode: number | undefined;
  /** Undefined: plaintext only. Paths are absolute. */
  readonly tls: ListenTls | undefined;
  readonly proxyProtocol: ListenOptions['proxyProtocol'];
  /** Who has to send a PROXY header, by `proxyProtocol`. Undefined: nobody may. */
  readonly proxies: Networks | undefined;
  /** Names as PostgreSQL writes them. */
  readonly startup: Required<StartupRules>;
}

/** One database entry. */
export interface ResolvedDatabase extends DatabaseOptions {
  readonly port: number;
  readonly target: Target;
  /** Name on the server. */
  readonly database: string;
  /** Always with a mode; `ca` is absolute. */
  readonly tls: UpstreamTls & Required<Pick<UpstreamTls, 'mode'>>;
  readonly maxProtocolVersion: NonNullable<DatabaseOptions['maxProtocolVersion']>;
  /** Paths are absolute, `lifetime` is there. */
  readonly login: DatabaseOptions['login'];
  readonly pool: typeof POOL_DEFAULTS;
  /** Names as PostgreSQL writes them. */
  readonly startup: Required<StartupRules>;
  readonly replication: boolean;
  readonly privilegedRoles: readonly string[];
}

/** The operators' listener. */
export interface ResolvedAdmin extends Omit<AdminOptions, 'path' | 'tls' | 'mode'> {
  /** An address, or the file of a unix socket, which is absolute. */
  readonly host: string;
  /** 0 for a unix socket. */
  readonly port: number;
  /** Permissions of a unix socket. Undefined: it is TCP. */
  readonly mode: number | undefined;
  /** Paths are absolute. Undefined: plain HTTP. */
  readonly tls: ListenTls | undefined;
}

/** The fleet that the gateway is an instance of. Secrets are as the config has them. */
export interface ResolvedFleet {
  readonly name: string;
  readonly instance: string;
  readonly secret: Secret;
  readonly store: {
    readonly kind: FleetStoreOptions['kind'];
    readonly url: string;
    readonly password: Secret | undefined;
    /** Absolute. */
    readonly ca: string | undefined;
    /** Empty: the store is at `url`. Else the host of `url` is the name of the primary. */
    readonly sentinels: readonly Required<SentinelAddress>[];
    readonly sentinelPassword: Secret | undefined;
    readonly timeoutMs: number;
  };
  readonly away: FleetAway;
  /** Milliseconds. */
  readonly staleMs: number;
}

/** The whole config. */
export interface ResolvedConfig {
  /** The folder of the config file: what relative paths start from. */
  readonly directory: string;
  /** Absolute paths of the secrets that the config file reads by `file()`; empty where no file was loaded. */
  readonly secretFiles: readonly string[];
  /** At least one; names are unique. */
  readonly listeners: readonly ResolvedListener[];
  /**
   * The entry for a name a client gave: exact beats `'*'`; undefined where there is none. At once unless a function finds it.
   * @throws ConfigError if the config's function gave something that is not an entry; what that function throws
   */
  readonly database: (name: string) => MaybePromise<ResolvedDatabase | undefined>;
  /** The keys of `databases`, `'*'` included; empty where `databases` is a function. */
  readonly databaseNames: readonly string[];
  /** The entry for physical replication under the name `replication`, where none has that name. Undefined: there is no only one. */
  readonly replicationEntry: string | undefined;
  /** Undefined: no admin listener. */
  readonly admin: ResolvedAdmin | undefined;
  /** Without the entries that are false, null or undefined. */
  readonly plugins: readonly AnyPlugin[];
  /** Milliseconds. */
  readonly loginTimeoutMs: number;
  /** Milliseconds. */
  readonly drainDelayMs: number;
  /** Milliseconds. */
  readonly drainTimeoutMs: number;
  readonly maxStatementBytes: number;
  readonly logLevel: NonNullable<GatewayConfig['logLevel']>;
  /** Processes that serve clients; 1: this process alone. */
  readonly workers: number;
  /** Undefined: the gateway is in no fleet. */
  readonly fleet: ResolvedFleet | undefined;
}

/** What an entry of `databases` may say: where a database is, how the gateway logs in, how connections are pooled. */
import type { Duration } from './durations.ts';
import type { MaybePromise } from './session.ts';
import type { StartupRules } from './startup-rules.ts';
import type { Target } from './target.ts';

/** A secret: text, or a source asked at each login (what `env()` and `file()` give). */
export type Secret = string | (() => MaybePromise<string>);

/** How the gateway logs in to a database: as the mapped role, which is the boundary, by all kinds but the last. */
export type Login =
  /** The role's own password: SCRAM-SHA-256(-PLUS); md5 and cleartext only inside TLS. */
  | {
      readonly kind: 'password';
      readonly passwords:
        | Readonly<Record<string, Secret>>
        | ((role: string, database: string) => MaybePromise<string | undefined>);
    }
  /** pg_hba `cert`: the gateway is an authority that certifies roles to the database, and to nobody else. Needs TLS. */
  | {
      readonly kind: 'certificate';
      /** PEM file: the authority's certificate, then those above it if it is not a root. Read again when it changes. */
      readonly ca: string;
      /** PEM file: its private key, without a passphrase. Read again when it changes. */
      readonly key: string;
      /** How long each role's certificate is good; it is used for the first half of that. Default `'10m'`, at least a minute. */
      readonly lifetime?: Duration;
    }
  /** pg_hba `trust`: a unix socket or a lab on loopback. */
  | { readonly kind: 'trust' }
  /** One role that becomes the mapped one by `SET ROLE`: **no boundary**, since whoever sends SQL can undo that. */
  | {
      readonly kind: 'set-role';
      /** The role that logs in: a member of the mapped ones, and itself never mapped. */
      readonly user: string;
      readonly password: Secret;
      /** Says that only SQL which you wrote comes this way. */
      readonly trustedSql: true;
    };

/** The modes of libpq's `sslmode`, without those that fall back (manual, 34.19.1). */
export type TlsMode = 'disable' | 'require' | 'verify-ca' | 'verify-full';

/** TLS towards PostgreSQL. */
export interface UpstreamTls {
  /** Default `'verify-full'` where `tls` is given. */
  readonly mode?: TlsMode;
  /** PEM file of authorities. Default: the system's. */
  readonly ca?: string;
  /** Name to verify and to send as SNI. Default `host`. */
  readonly servername?: string;
}

/** The server connections of one database entry: kept after a session, and reset before another identity gets them. */
export interface PoolOptions {
  /** Default `'session'`: one belongs to a client until that leaves. `'transaction'`: until its transaction is over. */
  readonly mode?: 'session' | 'transaction';
  /**
   * Whether a client may choose the other mode for its session, by the startup parameter `postern.pool`
   * (`options=-c postern.pool=session`). Default `'fixed'`: refused with 0A000.
   */
  readonly clientMode?: 'fixed' | 'choose';
  /**
   * Where a client may choose and `mode` is `'transaction'`: most connections of clients in session mode; who comes later waits, in
   * a line of their own. Less than `size`; of one role at most one less than `perRole`. Default half of `size`.
   */
  readonly mostSessions?: number;
  /** Most server connections, those that are opened or closed included. Default 20. */
  readonly size?: number;
  /** Most of them for one role. Default: no limit but `size`. */
  readonly perRole?: number;
  /** How many are kept open, once used, for each role and each set of pinned settings. Default 0. */
  readonly min?: number;
  /** How many more than `size` there may be when somebody has waited for `reserveAfter`. Default 0. */
  readonly reserve?: number;
  /** Default `'5s'`. */
  readonly reserveAfter?: Duration;
  /**
   * How far a connection travels, by the group of sessions that it never leaves: beyond it is closed, not reset. A session
   * without a tenant is, for `'tenant'`, as for `'subject'`. Default `'role'`, or `'subject'` where the database has
   * extensions or languages whose state no reset undoes.
   */
  readonly share?: 'session' | 'subject' | 'tenant' | 'role';
  /**
   * Default `'auto'`: reset before another identity gets it, and for the same one where a command has left something.
   * `'always'`: between any two sessions.
   */
  readonly reset?: 'auto' | 'always';
  /**
   * How state is found that a session leaves on its connection. `'tags'`: by tags and texts of its statements; the database's
   * functions are trusted. `'calls'`: also by the functions that a statement may run and the catalog says may leave state: another
   * session gets the connection after a reset. `'state'`, with `mode: 'transaction'`: also by a query after each transaction; the connection
   * then stays with the session. Default `'calls'`, with `reset: 'always'` `'state'`.
   */
  readonly detect?: 'tags' | 'calls' | 'state';
  /**
   * What becomes, with `mode: 'transaction'`, of settings that no text shows: in a `DO` block, by `set_config` with a name that is
   * computed. `'reset'`: they are gone after the transaction. `'pin'`: the connection stays with its session. Default `'reset'`.
   */
  readonly unknownSettings?: 'reset' | 'pin';
  /** How many may be opened at the same time. Default 4. */
  readonly connecting?: number;
  /** How many may be opened within a second, and fewer while the server is not there. Default 100. */
  readonly connectRate?: number;
  /** How long a client waits for one before it is refused with 53300. Default `'10s'`. */
  readonly queueTimeout?: Duration;
  /** How long one beyond `min` stays open unused. Default `'10m'`. */
  readonly idleTimeout?: Duration;
  /** How long one is handed out again, give or take 10 %. Default `'1h'`. */
  readonly maxLifetime?: Duration;
  /**
   * How long, with `mode: 'transaction'`, a prepared statement serves clients that parse the same text, before the server is asked
   * again: so long the effect of DDL that does not pass this gateway may be missed. 0 asks each time. Default `'30s'`.
   */
  readonly reparseAfter?: Duration;
}

/** One of several servers of an entry. */
export interface HostAddress {
  /** As {@link DatabaseOptions.host}. */
  readonly host: string;
  /** Default: that of the entry. */
  readonly port?: number;
}

/** One database behind the gateway. A reload applies it to new sessions; server connections stay where nothing changed. */
export interface DatabaseOptions {
  /** Name, address, or the folder of a unix socket (starts with `/`); or a list of such, for a primary and its replicas. */
  readonly host: string | readonly (string | HostAddress)[];
  /** Default 5432. */
  readonly port?: number;
  /** Name on the server. Default: the name the client used. */
  readonly database?: string;
  /** Which of the servers sessions get, where no plugin says. Default `'any'` for one host, `'primary'` for a list. */
  readonly target?: Target;
  /** Default: `disable` for sockets and loopback addresses, else `{ mode: 'verify-full' }`. */
  readonly tls?: UpstreamTls;
  /**
   * The newest protocol that the gateway asks for. From `'3.2'` (PostgreSQL 18) on, cancel keys have 256 random bits; older servers answer that they have 3.0.
   * Default `'3.0'`, as libpq's: some poolers refuse all else.
   */
  readonly maxProtocolVersion?: '3.0' | '3.2';
  readonly login: Login;
  /** Default: that of each option. */
  readonly pool?: PoolOptions;
  /** Parameters of startup packets that are ignored, refused, or have a default. Default: clients may send what they may `SET`. */
  readonly startup?: StartupRules;
  /** Let replication connections pass. Default false: they are refused with 0A000. */
  readonly replication?: boolean;
  /** Roles that may be mapped although they are superuser, REPLICATION, BYPASSRLS, CREATEROLE or can become one. Default none. */
  readonly privilegedRoles?: readonly string[];
}

/** Databases by the name clients use; `'*'` serves every other name; or a function. */
export type Databases =
  Readonly<Record<string, DatabaseOptions>> | ((name: string) => MaybePromise<DatabaseOptions | undefined>);

/** Every host of an entry with its port, in the order of the config. */
export function hostsOf({
  host,
  port = 5432,
}: Pick<DatabaseOptions, 'host' | 'port'>): readonly Required<HostAddress>[] {
  const hosts = typeof host === 'string' ? [host] : host;
  return hosts.map((one) => (typeof one === 'string' ? { host: one, port } : { port, ...one }));
}

/** Which servers of an entry serve its sessions, where no plugin says. */
export function targetOf({ host, target }: Pick<DatabaseOptions, 'host' | 'target'>): Target {
  return target ?? (typeof host === 'string' ? 'any' : 'primary');
}

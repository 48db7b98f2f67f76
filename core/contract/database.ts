/** What an entry of `databases` may say: where a database is, and how the gateway logs in. */
import type { Duration } from './durations.ts';
import type { PoolOptions } from './pool.ts';
import type { MaybePromise } from './session.ts';
import type { StartupRules } from './startup-rules.ts';
import type { Target } from './target.ts';

/** A secret: text, or a source asked at each login (what `env()` and `file()` give). */
export type Secret = string | (() => MaybePromise<string>);

/**
 * The gateway is a certificate authority for the database, as pg_hba's `cert` needs it. Needs TLS.
 *
 * @reload new sessions
 */
export interface CertificateLogin {
  /**
   * The gateway logs in by a certificate that it makes for the role. PostgreSQL needs no password, and the gateway stores none.
   *
   * @example kind: 'certificate'
   */
  readonly kind: 'certificate';
  /**
   * For `'certificate'`: PEM file with the certificate of the gateway's own authority for this database, then those above it if it is not
   * a root. Read again when it changes.
   *
   * @example ca: 'tls/gateway-ca.crt'
   */
  readonly ca: string;
  /**
   * For `'certificate'`: PEM file with the private key of `ca`, without a passphrase. Read again when it changes. A holder of this key can be
   * any role of that server.
   *
   * @example key: 'tls/gateway-ca.key'
   */
  readonly key: string;
  /**
   * For `'certificate'`: how long each role's certificate is good, at least a minute. The gateway makes a new one at half that time.
   *
   * @defaultValue `'10m'`
   * @example lifetime: '30m'
   */
  readonly lifetime?: Duration;
}

/**
 * The role's own password.
 *
 * @reload new sessions
 */
export interface PasswordLogin {
  /**
   * The gateway logs in by the role's own password: SCRAM-SHA-256(-PLUS); md5 and clear text only inside TLS, where the server insists.
   *
   * @example kind: 'password'
   */
  readonly kind: 'password';
  /**
   * For `'password'`: a secret per role, or a function that gives the password of a role, asked at each login to the server.
   *
   * @example passwords: { reader: env('READER_PASSWORD'), writer: file('writer.password') }
   */
  readonly passwords:
    Readonly<Record<string, Secret>> | ((role: string, database: string) => MaybePromise<string | undefined>);
}

/** No credential: a unix socket, or a lab on loopback. */
export interface TrustLogin {
  /**
   * PostgreSQL asks for nothing (pg_hba `trust`): for unix sockets and labs.
   *
   * @example kind: 'trust'
   */
  readonly kind: 'trust';
}

/**
 * One role that becomes the mapped one by `SET ROLE`: **no boundary**, since whoever sends SQL can undo that.
 *
 * @reload new sessions
 */
export interface SetRoleLogin {
  /**
   * One role logs in and becomes the mapped one by `SET ROLE`. **This is no boundary**: a client that sends SQL of its own can undo it.
   *
   * @example kind: 'set-role'
   */
  readonly kind: 'set-role';
  /**
   * For `'set-role'`: the role that logs in. It is a member of the mapped roles, and no login can be mapped to it.
   *
   * @example user: 'gateway'
   */
  readonly user: string;
  /**
   * For `'set-role'`: the secret of `user`.
   *
   * @example password: env('GATEWAY_PASSWORD')
   */
  readonly password: Secret;
  /**
   * For `'set-role'`: says that you wrote all SQL that comes this way. Without it the config is refused.
   *
   * @example trustedSql: true
   */
  readonly trustedSql: true;
}

/** How the gateway logs in to a database: as the mapped role, which is the boundary, by all kinds but the last. */
export type Login = CertificateLogin | PasswordLogin | TrustLogin | SetRoleLogin;

/** The modes of libpq's `sslmode`, without those that fall back (manual, 34.19.1). */
export type TlsMode = 'disable' | 'require' | 'verify-ca' | 'verify-full';

/** TLS towards PostgreSQL. */
export interface UpstreamTls {
  /**
   * What the gateway verifies, as libpq's `sslmode`, without the modes that fall back to plaintext.
   *
   * @defaultValue `'disable'` on unix sockets and loopback, else `'verify-full'`
   * @example mode: 'verify-ca'
   */
  readonly mode?: TlsMode;
  /**
   * PEM file with the authorities of the server's certificate.
   *
   * @defaultValue those of the system
   * @example ca: 'tls/database-ca.crt'
   */
  readonly ca?: string;
  /**
   * The name to verify in the server's certificate, and to send as SNI.
   *
   * @defaultValue `host`
   * @example servername: 'db.internal'
   */
  readonly servername?: string;
}

/** One of several servers of an entry. */
export interface HostAddress {
  /**
   * As `host` of the entry.
   *
   * @example host: 'db3.internal'
   */
  readonly host: string;
  /**
   * The port of this server.
   *
   * @defaultValue that of the entry
   * @example port: 5433
   */
  readonly port?: number;
}

/**
 * One database behind the gateway. Server connections of an entry that a reload does not change stay open.
 *
 * @reload new sessions
 */
export interface DatabaseOptions {
  /**
   * The name or address of the server, or the folder of its unix socket (begins with `/`). Or a list of such:
   * [a primary and its replicas](#a-primary-and-its-replicas).
   *
   * @example host: ['db1.internal', 'db2.internal', { host: 'db3.internal', port: 5433 }]
   */
  readonly host: string | readonly (string | HostAddress)[];
  /**
   * The port of the server.
   *
   * @defaultValue `5432`
   * @example port: 5433
   */
  readonly port?: number;
  /**
   * The database's name on the server.
   *
   * @defaultValue the name that the client used
   * @example database: 'orders_2026'
   */
  readonly database?: string;
  /**
   * Which of the servers serve sessions for which no plugin says: `'primary'`, `'replica'`, `'prefer-replica'` or `'any'`. See
   * [a primary and its replicas](#a-primary-and-its-replicas).
   *
   * @defaultValue `'any'` for one host, `'primary'` for a list
   * @example target: 'prefer-replica'
   */
  readonly target?: Target;
  /**
   * TLS towards the server.
   *
   * @defaultValue `{ mode: 'disable' }` on unix sockets and loopback, else `{ mode: 'verify-full' }`
   * @example tls: { ca: 'tls/database-ca.crt' }
   */
  readonly tls?: UpstreamTls;
  /**
   * The newest protocol version that the gateway asks the server for. `'3.2'` is that of PostgreSQL 18, whose cancel keys have 256 random
   * bits. PostgreSQL 15 to 17 answer that they have 3.0; some poolers refuse anything else.
   *
   * @defaultValue `'3.0'`, as libpq's
   * @example maxProtocolVersion: '3.2'
   */
  readonly maxProtocolVersion?: '3.0' | '3.2';
  /**
   * How the gateway logs in to the server. Options: [how the gateway logs in](#how-the-gateway-logs-in).
   *
   * @example login: { kind: 'password', passwords: { reader: env('READER_PASSWORD') } }
   */
  readonly login: Login;
  /**
   * Limits and habits of the server connections. Options: [`pool`](#options-of-a-pool).
   *
   * @defaultValue that of each option
   * @example pool: { mode: 'transaction', size: 50 }
   */
  readonly pool?: PoolOptions;
  /**
   * Rules for the parameters of startup packets, beside those of the listener. See [startup parameters](#startup-parameters).
   *
   * @defaultValue none: clients may send every parameter that they may `SET`
   * @example startup: { default: { statement_timeout: '30s' } }
   */
  readonly startup?: StartupRules;
  /**
   * Whether replication connections pass. Without it they are refused with 0A000. See [replication](#replication).
   *
   * @defaultValue `false`
   * @example replication: true
   */
  readonly replication?: boolean;
  /**
   * Roles that logins may be mapped to although they are superuser, `REPLICATION`, `BYPASSRLS` or `CREATEROLE`, or can become such a role.
   *
   * @defaultValue none
   * @example privilegedRoles: ['replicator']
   */
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

/** What a `gateway.config.ts` may say: types, defaults, and the helpers it is written with. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ConfigError } from './errors.ts';
import type { AnyPlugin, Ordered, PluginEntry, PluginList, Scope } from './plugin.ts';
import type { MaybePromise } from './session.ts';

/** A duration with its unit; `m` is a minute. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'min' | 'h' | 'd'}`;
/** Events per time, for instance `'20/s'`. */
export type Rate = `${number}/${'s' | 'm' | 'min' | 'h' | 'd'}`;

/** TLS towards clients. Files are relative to the config file. A change of the files themselves is one of the config. */
export interface ListenTls {
  /** PEM file: the server certificate and its chain. */
  readonly cert: string;
  /** PEM file: its private key. */
  readonly key: string;
  /** PEM file: authorities of client certificates. Default: client certificates are not asked for. */
  readonly clientCa?: string;
  /** Default `'optional'` where `clientCa` is given. */
  readonly clientCertificate?: 'optional' | 'required';
  /** Further certificates by Server Name Indication; `*.example.com` covers one label. */
  readonly servernames?: Readonly<Record<string, { readonly cert: string; readonly key: string }>>;
}

/** One address where clients connect. Another list of names and addresses needs a restart; the rest is for new connections. */
export interface ListenOptions {
  /** Default `'default'`; unique in a list. A change needs a restart. */
  readonly name?: string;
  /** Default `'127.0.0.1'`. A change needs a restart. */
  readonly host?: string;
  /** Default 6432; 0 takes a free one and says so in the `listening` line. A change needs a restart. */
  readonly port?: number;
  /** Default: none; then only plaintext as `plaintext` allows. */
  readonly tls?: ListenTls;
  /** Who may come without TLS, by the client's address. Default `'loopback'`. */
  readonly plaintext?: 'never' | 'loopback';
  /** How the token is presented. Default and, today, only `'password'`. */
  readonly auth?: 'password';
}

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
  /** How many may be opened at the same time. Default 4. */
  readonly connecting?: number;
  /** How long a client waits for one before it is refused with 53300. Default `'10s'`. */
  readonly queueTimeout?: Duration;
  /** How long one beyond `min` stays open unused. Default `'10m'`. */
  readonly idleTimeout?: Duration;
  /** How long one is handed out again, give or take 10 %. Default `'1h'`. */
  readonly maxLifetime?: Duration;
}

/** One database behind the gateway. A reload applies it to new sessions; server connections stay where nothing changed. */
export interface DatabaseOptions {
  /** Name, address, or the folder of a unix socket (starts with `/`). */
  readonly host: string;
  /** Default 5432. */
  readonly port?: number;
  /** Name on the server. Default: the name the client used. */
  readonly database?: string;
  /** Default: `disable` for sockets and loopback addresses, else `{ mode: 'verify-full' }`. */
  readonly tls?: UpstreamTls;
  readonly login: Login;
  /** Default: that of each option. */
  readonly pool?: PoolOptions;
  /** Let replication connections pass. Default false: they are refused with 0A000. */
  readonly replication?: boolean;
  /** Roles that may be mapped although they are superuser, REPLICATION, BYPASSRLS, CREATEROLE or can become one. Default none. */
  readonly privilegedRoles?: readonly string[];
}

/** Databases by the name clients use; `'*'` serves every other name; or a function. */
export type Databases =
  Readonly<Record<string, DatabaseOptions>> | ((name: string) => MaybePromise<DatabaseOptions | undefined>);

/** The operators' HTTP listener: `/livez`, `/readyz`, and what plugins mount. */
export interface AdminOptions {
  /** Default `'127.0.0.1'`. A change needs a restart. */
  readonly host?: string;
  /** Default 9432; 0 takes a free one. A change needs a restart. */
  readonly port?: number;
  /** Who may use routes that are not public: tokens whose `claim` is, or contains, `value`. Default: nobody. */
  readonly operators?: {
    readonly claim: string;
    readonly value: string;
    /** Whose tokens: another issuer cannot make operators. Default: every issuer `jwt` accepts. */
    readonly issuer?: string;
  };
}

/**
 * The whole config. `L` is the plugin list as the compiler sees it, so that a wrong order does not compile.
 * A reload applies each option to new connections, all of them or none, unless it says that it needs a restart.
 */
export interface GatewayConfig<L extends PluginList = PluginList> {
  /** Default `{}`: loopback, port 6432. */
  readonly listen?: ListenOptions | readonly ListenOptions[];
  readonly databases: Databases;
  /** Default: no admin listener. To have one or none needs a restart. */
  readonly admin?: AdminOptions;
  /** In the order in which their hooks run. */
  readonly plugins: L;
  /** From accept to ReadyForQuery. Default `'10s'`. */
  readonly loginTimeout?: Duration;
  /** How long transactions may go on after SIGTERM. Default `'30s'`. */
  readonly drainTimeout?: Duration;
  /** Texts a plugin's `onQuery` needs and that are longer than this many bytes are refused (54000). Default 1 MiB. */
  readonly maxStatementBytes?: number;
  /** pino's level. Default `'info'`. */
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** Processes that share the listeners. Default and, today, only 1. A change needs a restart. */
  readonly workers?: 1;
}

/**
 * Types a config file; returns it unchanged. A plugin whose needs are not provided above it does not compile.
 * @example export default defineConfig({ databases: { … }, plugins: [jwt({ … }), roles({ … })] });
 */
export function defineConfig<const L extends PluginList>(
  config: GatewayConfig<L> & { readonly plugins: Ordered<L> },
): GatewayConfig {
  return config;
}

/**
 * An environment variable, as it was when the process began.
 * @throws ConfigError naming the variable if it is unset and has no fallback
 */
export function env(name: string, fallback?: string): string {
  const value = process.env[name] ?? fallback;
  if (value === undefined) throw new ConfigError(`environment variable ${name} is not set`);
  return value;
}

const loadedFrom = new AsyncLocalStorage<string>();

/** Runs `load`, for which `file()` starts from `directory`. For load.ts. */
export function withDirectory<T>(directory: string, load: () => T): T {
  return loadedFrom.run(directory, load);
}

/**
 * A secret in a file, read again at each use, a trailing line break removed. Relative to the config file that calls it;
 * elsewhere to the working directory. The source throws ENOENT and the like as node:fs does.
 */
export function file(path: string): () => string {
  const absolute = resolve(loadedFrom.getStore() ?? '.', path);
  return () => readFileSync(absolute, 'utf8').replace(/\r?\n$/, '');
}

function both(
  outer: readonly string[] | undefined,
  inner: readonly string[] | undefined,
): readonly string[] | undefined {
  return outer && inner ? outer.filter((name) => inner.includes(name)) : (outer ?? inner);
}

/** What both scopes cover: an `only()` inside another narrows it and never widens it. */
function intersect(outer: Scope, inner: Scope | undefined): Scope {
  if (!inner) return outer;
  const listeners = both(outer.listeners, inner.listeners);
  const databases = both(outer.databases, inner.databases);
  // Keys that neither should have stay, for the boot check to name.
  return { ...inner, ...outer, ...(listeners && { listeners }), ...(databases && { databases }) };
}

/** As the boot check has it: also without a prototype, and of another realm. */
function isPlainObject(value: unknown): value is AnyPlugin {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Limits plugins to some listeners or databases.
 * @throws ConfigError if `scope` is no object: plugins without a limit would run everywhere
 * @example ...only({ listeners: ['public'] }, tracing())
 */
export function only<const L extends readonly PluginEntry[]>(scope: Scope, ...plugins: L): L {
  if (!isPlainObject(scope))
    throw new ConfigError("only(): expected a scope such as { listeners: ['public'] }");
  // What is no plain object is passed on as it is: the boot check says better what is wrong with it.
  const scoped = plugins.map((plugin) =>
    isPlainObject(plugin) ? { ...plugin, scope: intersect(scope, plugin.scope) } : plugin,
  );
  return scoped as unknown as L;
}

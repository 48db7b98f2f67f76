/** What a `gateway.config.ts` may say: types, defaults, and the helpers it is written with. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Databases } from './database.ts';
import type { Duration } from './durations.ts';
import { ConfigError } from './errors.ts';
import type { FleetOptions } from './fleet-options.ts';
import type { ListenOptions } from './listen.ts';
import type { AnyPlugin, PluginEntry, PluginList } from './plugin.ts';
import type { Ordered } from './plugin-order.ts';
import type { Scope } from './scope.ts';

/** Which tokens make an operator. */
export interface OperatorsOptions {
  /**
   * The claim that makes an operator: its name, or a path such as `realm_access.roles`.
   *
   * @example claim: 'groups'
   */
  readonly claim: string;
  /**
   * The value of that claim. A claim that is a list has to contain it.
   *
   * @example value: 'dba'
   */
  readonly value: string;
  /**
   * The issuer whose tokens make operators: no other issuer can.
   *
   * @defaultValue every issuer that `jwt` accepts
   * @example issuer: 'https://id.example'
   */
  readonly issuer?: string;
}

/**
 * TLS of the admin listener. Paths are relative to the config file, and a change of the files is a change of the config.
 *
 * @reload new connections
 */
export interface AdminTls {
  /**
   * PEM file with the certificate and its chain.
   *
   * @example cert: 'tls/admin.crt'
   */
  readonly cert: string;
  /**
   * PEM file with the private key of `cert`.
   *
   * @example key: 'tls/admin.key'
   */
  readonly key: string;
  /**
   * PEM file with the authorities of client certificates. To have it or not needs a restart.
   *
   * @defaultValue none: no client certificate is asked for
   * @example clientCa: 'tls/operators-ca.crt'
   */
  readonly clientCa?: string;
  /**
   * Whether a client has to show a certificate. Only with `clientCa`. A certificate that is not valid is refused either way, and none takes the
   * place of an operator's token.
   *
   * @defaultValue `'required'`
   * @example clientCertificate: 'optional'
   */
  readonly clientCertificate?: 'optional' | 'required';
  /**
   * PEM file with the revocation lists (CRL) of all authorities in `clientCa`. A revoked certificate is refused.
   *
   * @defaultValue none
   * @example crl: 'tls/operators.crl'
   */
  readonly crl?: string;
  /**
   * More certificates, by the server name that a client asks for (SNI); `*` stands for a first label.
   *
   * @defaultValue `{}`
   * @example servernames: { 'admin.example': { cert: 'tls/other.crt', key: 'tls/other.key' } }
   */
  readonly servernames?: Readonly<Record<string, { readonly cert: string; readonly key: string }>>;
}

/**
 * The operators' HTTP listener: `/livez`, `/readyz`, and what plugins mount.
 *
 * @reload new requests
 */
export interface AdminOptions {
  /**
   * The address to listen on.
   *
   * @defaultValue `'127.0.0.1'`
   * @reload needs a restart
   * @example host: '10.0.0.7'
   */
  readonly host?: string;
  /**
   * The TCP port. With 0 the system chooses a free one.
   *
   * @defaultValue `9432`
   * @reload needs a restart
   * @example port: 9000
   */
  readonly port?: number;
  /**
   * A unix socket instead of an address: the path of its file, relative to the config file. `host`, `port` and `tls` are then left out.
   * Other users of the machine cannot reach it unless `mode` says so. A lock file stands beside it, as for a listener's `path`.
   *
   * @defaultValue none: the listener is TCP
   * @reload needs a restart
   * @example path: '/run/postern/admin.sock'
   */
  readonly path?: string;
  /**
   * The permissions of the unix socket.
   *
   * @defaultValue `0o660`: the owner and the group
   * @reload needs a restart
   * @example mode: 0o600
   */
  readonly mode?: number;
  /**
   * TLS 1.2 or newer, since operators' tokens pass through this listener. To have `tls` or not needs a restart.
   *
   * @defaultValue none: plain HTTP, of which the log warns where `host` is not a loopback address
   * @reload new connections
   * @example tls: { cert: 'tls/admin.crt', key: 'tls/admin.key' }
   */
  readonly tls?: AdminTls;
  /**
   * The operators: they may use the routes that are not public, and what plugins have for operators.
   *
   * @defaultValue none: such routes answer nobody
   * @example operators: { claim: 'groups', value: 'dba', issuer: 'https://id.example' }
   */
  readonly operators?: OperatorsOptions;
}

/**
 * The whole config. `L` is the plugin list as the compiler sees it, so that a wrong order does not compile.
 *
 * @reload new connections
 */
export interface GatewayConfig<L extends PluginList = PluginList> {
  /**
   * Where clients connect: one listener, or a list of them. Options: [a listener](#options-of-a-listener).
   *
   * @defaultValue `{}`, which is loopback and port 6432
   * @example listen: { host: '0.0.0.0', port: 6432, tls: { cert: 'tls/server.crt', key: 'tls/server.key' } }
   */
  readonly listen?: ListenOptions | readonly ListenOptions[];
  /**
   * The databases by the name that clients use; `'*'` serves every other name. Or a function that gives the entry of a name, or undefined.
   * Options: [a database](#options-of-a-database).
   *
   * @reload new sessions
   * @example databases: { orders: { host: 'db1.internal', login: { kind: 'trust' } } }
   */
  readonly databases: Databases;
  /**
   * The HTTP listener for health checks, operators and what plugins mount. Options: [the admin listener](#options-of-the-admin-listener).
   *
   * @defaultValue none: there is no such listener
   * @reload see its options; to add or remove it needs a restart
   * @example admin: { port: 9432, operators: { claim: 'groups', value: 'dba' } }
   */
  readonly admin?: AdminOptions;
  /**
   * The plugins, in the order in which their hooks run. `false`, `null` and `undefined` are skipped, so `production && audit({ … })` works.
   *
   * @example plugins: []
   */
  readonly plugins: L;
  /**
   * The time from accepting a connection to the end of its login, PROXY header and TLS handshake included. Before the startup packet the
   * connection is then closed, after it the client reads 57014, or why it has got no server connection.
   *
   * @defaultValue `'10s'`
   * @example loginTimeout: '20s'
   */
  readonly loginTimeout?: Duration;
  /**
   * How long the gateway serves on after SIGTERM as before, new logins included, while `/readyz` answers 503: balancers need so long to send
   * clients elsewhere. `drainTimeout` begins behind it. See [the end](#the-end).
   *
   * @defaultValue `'0s'`
   * @example drainDelay: '5s'
   */
  readonly drainDelay?: Duration;
  /**
   * How long transactions may go on after SIGTERM. See [the end](#the-end).
   *
   * @defaultValue `'30s'`
   * @example drainTimeout: '2m'
   */
  readonly drainTimeout?: Duration;
  /**
   * The longest statement text, in bytes, that a plugin's `onQuery` reads; longer ones are refused (54000). Without such a plugin texts of
   * any length pass.
   *
   * @defaultValue `1048576`
   * @example maxStatementBytes: 4_194_304
   */
  readonly maxStatementBytes?: number;
  /**
   * The lowest level of log lines that are written.
   *
   * @defaultValue `'info'`
   * @example logLevel: 'debug'
   */
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /**
   * The number of processes that serve clients, 1 to 63; `'auto'` is the number of cores that the process may use. With more than one, a parent process binds
   * the sockets in which the workers accept connections, that with the fewest sessions first. Pool sizes and limits hold for all of them together. See [workers](../workers/README.md).
   *
   * @defaultValue `1`
   * @reload needs a restart
   * @example workers: 'auto'
   */
  readonly workers?: number | 'auto';
  /**
   * The fleet that this gateway is an instance of: all gateways with the same `name` and `store` share limits, revocations, grants and what operators have paused, and
   * each passes on cancels of sessions of the others. Options: [a fleet](#options-of-a-fleet).
   *
   * @defaultValue none: the gateway stands alone
   * @reload needs a restart
   * @example fleet: { name: 'prod', secret: file('fleet.secret'), store: { kind: 'redis', url: 'redis://store.internal:6379' } }
   */
  readonly fleet?: FleetOptions;
}

/**
 * Types a config file; returns it unchanged. A plugin whose needs are not provided above it does not compile.
 *
 * @example const config = defineConfig({ databases: {}, plugins: [] });
 */
export function defineConfig<const L extends PluginList>(
  config: GatewayConfig<L> & { readonly plugins: Ordered<L> },
): GatewayConfig {
  return config;
}

/** Thrown by {@link env}. */
export class UnsetVariable extends ConfigError {}

/**
 * An environment variable, as it was when the process began.
 *
 * @throws ConfigError naming the variable if it is unset and has no fallback
 * @example const port = Number(env('PORT', '6432'));
 */
export function env(name: string, fallback?: string): string {
  const value = process.env[name] ?? fallback;
  if (value === undefined) throw new UnsetVariable(`environment variable ${name} is not set`);
  return value;
}

/** A config file that is being loaded. */
interface Loading {
  readonly directory: string;
  /** Paths that `file()` was called with, absolute. */
  readonly secretFiles: Set<string>;
}

const loadedFrom = new AsyncLocalStorage<Loading>();
let loading = 0;

/** Runs `load`, for which `file()` starts from `directory`; `secretFiles` gets the paths it is called with. For load.ts. */
export async function withDirectory<T>(
  directory: string,
  secretFiles: Set<string>,
  load: () => Promise<T>,
): Promise<T> {
  loading += 1;
  try {
    return await loadedFrom.run({ directory, secretFiles }, load);
  } finally {
    loading -= 1;
    // While it is in use every promise of the process pays for it.
    if (loading === 0) loadedFrom.disable();
  }
}

/**
 * A secret in a file, read again at each use, a trailing line break removed. Relative to the config file that calls it;
 * elsewhere to the working directory. The source throws ENOENT and the like as node:fs does.
 *
 * @example const key = file('audit.key');
 */
export function file(path: string): () => string {
  const { directory = '.', secretFiles } = loadedFrom.getStore() ?? {};
  const absolute = resolve(directory, path);
  secretFiles?.add(absolute);
  return () => readFileSync(absolute, 'utf8').replace(/\r?\n$/, '');
}

function both<T>(outer: readonly T[] | undefined, inner: readonly T[] | undefined): readonly T[] | undefined {
  return outer && inner ? outer.filter((name) => inner.includes(name)) : (outer ?? inner);
}

/** What both scopes cover: an `only()` inside another narrows it and never widens it. */
function intersect(outer: Scope, inner: Scope | undefined): Scope {
  if (!inner) return outer;
  const listeners = both(outer.listeners, inner.listeners);
  const databases = both(outer.databases, inner.databases);
  const credentials = both(outer.credentials, inner.credentials);
  // Keys that neither should have stay, for the boot check to name.
  return {
    ...inner,
    ...outer,
    ...(listeners && { listeners }),
    ...(databases && { databases }),
    ...(credentials && { credentials }),
  };
}

/** As the boot check has it: also without a prototype, and of another realm. */
function isPlainObject(value: unknown): value is AnyPlugin {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Limits plugins to some listeners, databases or credentials.
 *
 * @throws ConfigError if `scope` is no object: plugins without a limit would run everywhere
 * @example const plugins = [...only({ listeners: ['public'] }, plugin)];
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

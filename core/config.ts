/** What a `gateway.config.ts` may say: types, defaults, and the helpers it is written with. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Databases } from './database.ts';
import type { Duration } from './durations.ts';
import { ConfigError } from './errors.ts';
import type { ListenOptions } from './listen.ts';
import type { AnyPlugin, Ordered, PluginEntry, PluginList, Scope } from './plugin.ts';

/** The operators' HTTP listener: `/livez`, `/readyz`, and what plugins mount. */
export interface AdminOptions {
  /** Default `'127.0.0.1'`. A change needs a restart. */
  readonly host?: string;
  /** Default 9432; 0 takes a free one. A change needs a restart. */
  readonly port?: number;
  /** Who may use routes that are not public: tokens whose `claim` is, or contains, `value`. Default: nobody. */
  readonly operators?: {
    /** A name, or a path such as `realm_access.roles`. */
    readonly claim: string;
    readonly value: string;
    /** Whose tokens: another issuer cannot make operators. Default: every issuer `jwt` accepts. */
    readonly issuer?: string;
  };
  /**
   * The name of a database that is none: operators who connect to it look after the gateway in PgBouncer's words. Default
   * `'pgbouncer'` where there are `operators`; `false` for no such thing.
   */
  readonly console?: string | false;
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

/** Thrown by {@link env}. */
export class UnsetVariable extends ConfigError {}

/**
 * An environment variable, as it was when the process began.
 * @throws ConfigError naming the variable if it is unset and has no fallback
 */
export function env(name: string, fallback?: string): string {
  const value = process.env[name] ?? fallback;
  if (value === undefined) throw new UnsetVariable(`environment variable ${name} is not set`);
  return value;
}

const loadedFrom = new AsyncLocalStorage<string>();
let loading = 0;

/** Runs `load`, for which `file()` starts from `directory`. For load.ts. */
export async function withDirectory<T>(directory: string, load: () => Promise<T>): Promise<T> {
  loading += 1;
  try {
    return await loadedFrom.run(directory, load);
  } finally {
    loading -= 1;
    // While it is in use every promise of the process pays for it.
    if (loading === 0) loadedFrom.disable();
  }
}

/**
 * A secret in a file, read again at each use, a trailing line break removed. Relative to the config file that calls it;
 * elsewhere to the working directory. The source throws ENOENT and the like as node:fs does.
 */
export function file(path: string): () => string {
  const absolute = resolve(loadedFrom.getStore() ?? '.', path);
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

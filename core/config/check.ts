/** Checks what a config file exports, and gives the gateway a config without holes. */
import { availableParallelism } from 'node:os';
import { realpathSync } from 'node:fs';
import { resolveAdmin } from './admin.ts';
import { resolveFleet } from './fleet.ts';
import { checkDatabase, resolveDatabase, resolveListener } from './defaults.ts';
import type { ResolvedConfig, ResolvedDatabase, ResolvedListener } from './resolved.ts';
import { MOST_WORKERS, config, database, parseAt } from './schema.ts';
import { configPath, kindOf } from './sentences.ts';
import type { GatewayConfig } from '../contract/config.ts';
import type { DatabaseOptions, Databases } from '../contract/database.ts';
import { milliseconds } from '../contract/durations.ts';
import { ConfigError } from '../contract/errors.ts';
import { answeredNames, checkAnswered } from './answered-databases.ts';
import { checkPlugins } from './plugin-list.ts';
import type { KnownPlugin } from './known-plugins.ts';
import { checkOrder } from './plugin-order.ts';
import { checkProviders } from './providers.ts';

export type {
  ResolvedAdmin,
  ResolvedConfig,
  ResolvedDatabase,
  ResolvedFleet,
  ResolvedListener,
} from './resolved.ts';

/** Two paths may lead to one folder. One that there is not is told at the start. */
function realPlace({ host, mode }: ResolvedListener): string {
  if (mode === undefined) return host;
  try {
    return realpathSync(host);
  } catch {
    return host;
  }
}

function listenersOf(listen: GatewayConfig['listen'], directory: string): readonly ResolvedListener[] {
  if (listen === undefined || !('length' in listen)) {
    return [resolveListener(listen ?? {}, { path: 'listen', directory })];
  }
  const listeners = listen.map((one, place) => resolveListener(one, { path: `listen[${place}]`, directory }));
  for (const [place, listener] of listeners.entries()) {
    const { name, port } = listener;
    const before = listeners.slice(0, place);
    const twin = before.find((one) => one.name === name);
    if (twin)
      throw new ConfigError(
        `listen[${place}].name: '${name}' is taken; give each listener a name of its own`,
      );
    const same = before.find(
      (one) => port !== 0 && one.port === port && realPlace(one) === realPlace(listener),
    );
    if (same)
      throw new ConfigError(
        `listen[${place}].port: listener '${same.name}' has ${same.host} port ${port} already`,
      );
  }
  return listeners;
}

type Lookup = ResolvedConfig['database'];

function lookupByFunction(find: (name: string) => unknown, directory: string): Lookup {
  return async (name) => {
    const found = await find(name);
    if (found === undefined) return undefined;
    const path = configPath(['databases', name]);
    return resolveDatabase(parseAt(database, found, ['databases', name]), name, { path, directory });
  };
}

/** Names for which the entry of `'*'` is kept, so that a login need not make it anew; the oldest goes first. */
const MOST_SERVED = 1_000;

function lookupByName(entries: Readonly<Record<string, DatabaseOptions>>, directory: string): Lookup {
  // A map, because a client that asks for `__proto__` or `constructor` must find nothing.
  const byName = new Map<string, ResolvedDatabase>();
  for (const [name, entry] of Object.entries(entries)) {
    const place = { path: configPath(['databases', name]), directory };
    checkDatabase(entry, name, place);
    byName.set(name, resolveDatabase(entry, name, place));
  }
  const rest = Object.hasOwn(entries, '*') ? entries['*'] : undefined;
  const place = { path: configPath(['databases', '*']), directory };
  const served = new Map<string, ResolvedDatabase>();
  return (name) => {
    const known = byName.get(name) ?? served.get(name);
    if (known || !rest) return known;
    const resolved = resolveDatabase(rest, name, place);
    served.set(name, resolved);
    const [oldest] = served.keys();
    if (served.size > MOST_SERVED && oldest !== undefined) served.delete(oldest);
    return resolved;
  };
}

function namesOf(databases: Databases): readonly string[] {
  return typeof databases === 'function' ? [] : Object.keys(databases);
}

/**
 * The only entry that lets replication pass: a standby cannot name another database than `replication`, which PostgreSQL ignores.
 * Undefined where an entry serves that name: its own, or `'*'` if that lets replication pass.
 */
function replicationEntryOf(databases: Databases): string | undefined {
  if (typeof databases === 'function' || Object.hasOwn(databases, 'replication')) return undefined;
  const allowed = Object.keys(databases).filter((name) => databases[name]?.replication === true);
  return allowed.length === 1 && allowed[0] !== '*' ? allowed[0] : undefined;
}

/** What a config is, in a sentence for those who exported something else. */
function refuseNoConfig(value: unknown): void {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !('then' in value)) return;
  throw new ConfigError(
    `the default export is ${kindOf(value)}, not a config: did you forget 'export default defineConfig({ … })'?`,
  );
}

/**
 * Checks a config and fills its defaults. Reads certificate files; opens nothing else.
 * @param value what the config file exports as default
 * @param directory the folder of the config file
 * @param known the plugins that messages may advise to list. Default: none
 * @throws ConfigError with one line per mistake, each naming its place in the config
 */
export function checkConfig(
  value: unknown,
  directory: string,
  known: readonly KnownPlugin[] = [],
): ResolvedConfig {
  refuseNoConfig(value);
  const checked = parseAt(config, value);
  const { databases, loginTimeout = '10s', drainDelay = '0s', drainTimeout = '30s' } = checked;
  const listeners = listenersOf(checked.listen, directory);
  const database =
    typeof databases === 'function'
      ? lookupByFunction(databases, directory)
      : lookupByName(databases, directory);
  const databaseNames = namesOf(databases);
  const admin = checked.admin && resolveAdmin(checked.admin, { listeners, directory });
  const anyDatabase = typeof databases === 'function' || databaseNames.includes('*');
  const plugins = checkPlugins(checked.plugins, {
    listeners: listeners.map(({ name }) => name),
    databases: anyDatabase ? undefined : [...databaseNames, ...answeredNames(checked.plugins)],
  });
  checkAnswered(plugins, { databaseNames, admin });
  checkProviders(listeners, plugins, known);
  checkOrder(plugins, listeners, known);
  return {
    directory,
    secretFiles: [],
    listeners,
    database,
    databaseNames,
    replicationEntry: replicationEntryOf(databases),
    admin,
    plugins,
    loginTimeoutMs: milliseconds(loginTimeout),
    drainDelayMs: milliseconds(drainDelay),
    drainTimeoutMs: milliseconds(drainTimeout),
    maxStatementBytes: checked.maxStatementBytes ?? 1_048_576,
    logLevel: checked.logLevel ?? 'info',
    workers: workersOf(checked.workers),
    fleet: checked.fleet && resolveFleet(checked.fleet, directory),
  };
}

/** `'auto'`: as many as the process may use cores, which a container may limit. */
function workersOf(workers: GatewayConfig['workers'] = 1): number {
  return workers === 'auto' ? Math.min(availableParallelism(), MOST_WORKERS) : workers;
}

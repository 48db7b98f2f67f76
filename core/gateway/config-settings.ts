/** The settings of a config as texts, for operators: only those that are listed here, so never a secret. */
import { choiceText } from '../config/auth.ts';
import type { ResolvedConfig, ResolvedDatabase } from '../config/resolved.ts';
import { configPath } from '../config/sentences.ts';
import { hostsOf } from '../contract/database.ts';
import type { SettingReading } from '../contract/overview.ts';
import type { StartupRules } from '../contract/startup-rules.ts';
import { POOL_DEFAULTS } from '../upstream/pool/limits.ts';

type Text = string | number | boolean | undefined;

function setting(key: string, value: Text, standard: Text, reload = true): SettingReading {
  const text = (one: Text): string | undefined => (one === undefined ? undefined : String(one));
  return { key, value: text(value), default: text(standard), reload };
}

function fleet({ fleet: given }: ResolvedConfig): readonly SettingReading[] {
  if (!given) return [];
  const { name, instance, store, away, staleMs } = given;
  return [
    setting('fleet.name', name, undefined, false),
    setting('fleet.instance', instance, undefined, false),
    setting('fleet.store.kind', store.kind, undefined, false),
    setting('fleet.store.timeout', `${store.timeoutMs}ms`, '500ms', false),
    setting('fleet.away.revocations', away.revocations, 'refuse', false),
    setting('fleet.away.limits', away.limits, 'local', false),
    setting('fleet.stale', `${staleMs}ms`, '10000ms', false),
  ];
}

function general(config: ResolvedConfig): readonly SettingReading[] {
  const { admin } = config;
  return [
    setting('loginTimeout', `${config.loginTimeoutMs}ms`, '10000ms'),
    setting('drainDelay', `${config.drainDelayMs}ms`, '0ms'),
    setting('drainTimeout', `${config.drainTimeoutMs}ms`, '30000ms'),
    setting('maxStatementBytes', config.maxStatementBytes, 1_048_576),
    setting('logLevel', config.logLevel, 'info'),
    setting('workers', config.workers, 1, false),
    ...fleet(config),
    setting('admin.host', admin?.host, '127.0.0.1', false),
    setting('admin.port', admin?.port, 9_432, false),
    setting('plugins', config.plugins.map(({ name }) => name).join(', '), undefined),
  ];
}

/** Every client can see these values by SHOW. */
function startup(
  path: string,
  { ignore, refuse, default: values }: Required<StartupRules>,
): readonly SettingReading[] {
  const pairs = Object.entries(values).map(([name, value]) => `${name}=${value}`);
  return [
    setting(`${path}.startup.ignore`, ignore.join(', '), ''),
    setting(`${path}.startup.refuse`, refuse.join(', '), ''),
    setting(`${path}.startup.default`, pairs.join(', '), ''),
  ];
}

function pool(path: string, options: ResolvedDatabase['pool']): readonly SettingReading[] {
  const standard: Readonly<Partial<Record<string, Text>>> = POOL_DEFAULTS;
  return Object.entries(options).map(([key, value]) => setting(`${path}.pool.${key}`, value, standard[key]));
}

function listeners(config: ResolvedConfig): readonly SettingReading[] {
  return config.listeners.flatMap(
    ({ path, name, host, mode, port, plaintext, auth, tls, startup: rules }) => [
      setting(`${path}.name`, name, 'default', false),
      ...(mode === undefined
        ? [setting(`${path}.host`, host, '127.0.0.1', false)]
        : [
            setting(`${path}.path`, host, undefined, false),
            setting(`${path}.mode`, `0o${mode.toString(8)}`, '0o777', false),
          ]),
      setting(`${path}.port`, port, 6_432, false),
      setting(`${path}.plaintext`, plaintext, 'loopback'),
      setting(`${path}.auth`, choiceText(auth), 'password'),
      setting(`${path}.tls`, tls !== undefined, false),
      ...startup(path, rules),
    ],
  );
}

function entry(name: string, database: ResolvedDatabase): readonly SettingReading[] {
  const path = configPath(['databases', name]);
  const hosts = hostsOf(database).map(({ host, port }) => `${host} port ${port}`);
  return [
    setting(`${path}.host`, hosts.join(', '), undefined),
    setting(`${path}.database`, database.database, name),
    setting(`${path}.tls.mode`, database.tls.mode, undefined),
    setting(`${path}.login.kind`, database.login.kind, undefined),
    ...pool(path, database.pool),
    ...startup(path, database.startup),
  ];
}

/** Of the gateway, of its listeners, of its entries. */
export async function configSettings(config: ResolvedConfig): Promise<readonly SettingReading[]> {
  const entries = await Promise.all(
    config.databaseNames.map(async (name) => {
      const database = await config.database(name);
      return database ? entry(name, database) : [];
    }),
  );
  return [...general(config), ...listeners(config), ...entries.flat()];
}

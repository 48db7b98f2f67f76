/** What a reload changed, in the words of the config, for the log. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { ConfigVersion } from './config-version.ts';
import { sameDatabase } from './same-database.ts';

/** Only what there is to say is present. */
export interface Changes {
  readonly databases?: Difference;
  readonly plugins?: Difference;
  /** Names of listeners whose TLS is not as before: new certificates, or other demands. */
  readonly certificates?: readonly string[];
  /** Options of the top level, of listeners and of `admin` with another value. */
  readonly options?: readonly string[];
}

/** Names, each in one list at most. */
export interface Difference {
  readonly added?: readonly string[];
  readonly removed?: readonly string[];
  readonly changed?: readonly string[];
  /** Present where the same members come in another order: the order now. */
  readonly order?: readonly string[];
}

const some = <K extends string>(
  key: K,
  names: readonly string[],
): { readonly [_ in K]?: readonly string[] } =>
  (names.length > 0 ? { [key]: names } : {}) as { readonly [_ in K]?: readonly string[] };

function difference(before: readonly string[], after: readonly string[]): Difference {
  return {
    ...some(
      'added',
      after.filter((name) => !before.includes(name)),
    ),
    ...some(
      'removed',
      before.filter((name) => !after.includes(name)),
    ),
  };
}

async function changedDatabases(before: ResolvedConfig, after: ResolvedConfig): Promise<Difference> {
  const changed: string[] = [];
  for (const name of after.databaseNames) {
    if (!before.databaseNames.includes(name)) continue;
    const [was, is] = [await before.database(name), await after.database(name)];
    if (was && is && !sameDatabase(was, is)) changed.push(name);
  }
  return { ...difference(before.databaseNames, after.databaseNames), ...some('changed', changed) };
}

function changedPlugins(before: ResolvedConfig, after: ResolvedConfig): Difference {
  const [was, is] = [before.plugins.map(({ name }) => name), after.plugins.map(({ name }) => name)];
  const stayed = (names: readonly string[], others: readonly string[]): string =>
    names.filter((name) => others.includes(name)).join('\n');
  const ordered = stayed(was, is) === stayed(is, was);
  const changed = after.plugins.flatMap((plugin) => {
    const former = before.plugins.filter(({ name }) => name === plugin.name);
    // Of several with one name it is not known which was which.
    return former.length === 1 ? changedMembers(plugin.name, former[0]?.options, plugin.options) : [];
  });
  return { ...difference(was, is), ...some('changed', changed), ...(ordered ? {} : { order: is }) };
}

/** Names of options with another value, such as `roles.allow`; only the plugin's where its options are a list. */
function changedMembers(plugin: string, was: object = {}, is: object = {}): readonly string[] {
  if (Array.isArray(was) || Array.isArray(is)) return differ(was, is) ? [plugin] : [];
  const [old, now] = [
    new Map<string, unknown>(Object.entries(was)),
    new Map<string, unknown>(Object.entries(is)),
  ];
  const names = new Set([...old.keys(), ...now.keys()]);
  return [...names].filter((name) => differ(old.get(name), now.get(name))).map((name) => `${plugin}.${name}`);
}

const OPTIONS = [
  'loginTimeoutMs',
  'drainDelayMs',
  'drainTimeoutMs',
  'maxStatementBytes',
  'logLevel',
] as const;

const LISTENER_OPTIONS = ['plaintext', 'auth', 'proxyProtocol', 'startup'] as const;

const ADMIN_OPTIONS = ['operators'] as const;

/** Options of plugins may be anything: such as cannot be written count as equal. */
function textOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

const differ = (was: unknown, is: unknown): boolean => textOf(was) !== textOf(is);

function changedListeners(before: ResolvedConfig, after: ResolvedConfig): readonly string[] {
  return after.listeners.flatMap((is) => {
    const was = before.listeners.find(({ name }) => name === is.name);
    return LISTENER_OPTIONS.filter((option) => was && differ(was[option], is[option])).map(
      (option) => `${is.path}.${option}`,
    );
  });
}

function changedOptions(before: ResolvedConfig, after: ResolvedConfig): readonly string[] {
  const options = OPTIONS.filter((option) => before[option] !== after[option]).map((option) =>
    option.replace(/Ms$/, ''),
  );
  const admin = ADMIN_OPTIONS.filter((option) => differ(before.admin?.[option], after.admin?.[option]));
  return [...options, ...changedListeners(before, after), ...admin.map((option) => `admin.${option}`)];
}

/** Compares what was in force with what is. Of a plugin's options those are seen that it states. */
export async function changesBetween(before: ConfigVersion, after: ConfigVersion): Promise<Changes> {
  const databases = await changedDatabases(before.config, after.config);
  const plugins = changedPlugins(before.config, after.config);
  const names = after.config.listeners.map(({ name }) => name);
  const hasOtherTls = (name: string): boolean =>
    before.listenerContext(name)?.tls !== after.listenerContext(name)?.tls;
  return {
    ...(Object.keys(databases).length > 0 && { databases }),
    ...(Object.keys(plugins).length > 0 && { plugins }),
    ...some('certificates', names.filter(hasOtherTls)),
    ...some('options', [
      ...changedOptions(before.config, after.config),
      ...(before.adminTls === after.adminTls ? [] : ['admin.tls']),
    ]),
  };
}

/** Checks a plugin list at boot: guesses the mistake behind what it finds, and names the fix. */
import { alternatives, expected, kindOf, unknownKey } from './sentences.ts';
import { didYouMean } from './nearest-name.ts';
import { checkAnnouncement } from './announcement.ts';
import { CREDENTIALS } from '../contract/credential.ts';
import { ConfigError } from '../contract/errors.ts';
import { parseRole } from '../contract/names.ts';
import type { AnyPlugin } from '../contract/plugin.ts';
import type { Scope } from '../contract/scope.ts';

/** Names that scopes may speak of. */
export interface KnownNames {
  /** Names of listeners. Default: any. */
  readonly listeners?: readonly string[] | undefined;
  /** Keys of `databases`. Default: any. */
  readonly databases?: readonly string[] | undefined;
}

const HOOKS = ['setup', 'probe', 'observe', 'onStartup', 'onAuth', 'onQuery', 'onClose'] as const;
const LISTS = ['needs', 'provides', 'enforces', 'startupParameters', 'credentials'] as const;
const TABLES = ['checks', 'inBand', 'on'] as const;
const READS = ['kind', 'sql', 'parameters'] as const;
const KEYS: readonly string[] = [
  'name',
  'reads',
  'scope',
  'options',
  'commands',
  'databases',
  'announces',
  'maps',
  ...LISTS,
  ...TABLES,
  ...HOOKS,
];
const SCOPE_KEYS = ['listeners', 'databases', 'credentials'] as const;
/** In the manner of a parameter name with a class (manual, 19.16 "Customized Options"). */
const IN_BAND_KEY = /^postern\.[a-z_.]+$/;

/** An object literal: neither an instance of a class nor a module. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function howToImport(module: Readonly<Record<string, unknown>>): string {
  const [name] = Object.keys(module).filter((key) => typeof module[key] === 'function' && key !== 'default');
  return name === undefined
    ? 'import its factory by name and call it'
    : `import ${name} from it and call ${name}()`;
}

/** What an entry is instead of a plugin, and what was probably meant; undefined if it may be one. */
function notPlugin(entry: unknown): string | undefined {
  if (typeof entry === 'function') {
    return `is a function: did you forget to call ${entry.name === '' ? 'it' : `${entry.name}()`}?`;
  }
  if (Array.isArray(entry)) return 'is a list: spread it with …, as in `...only({ … }, mine())`';
  if (!isTable(entry)) return `is ${kindOf(entry)}, not a plugin`;
  if (typeof entry['then'] === 'function') return 'is a promise: await the factory';
  const isModule = Object.prototype.toString.call(entry) === '[object Module]';
  const looksLikeOne =
    entry['name'] === undefined && Object.values(entry).some((is) => typeof is === 'function');
  if (isModule || Object.hasOwn(entry, 'default') || (looksLikeOne && !HOOKS.some((hook) => hook in entry))) {
    return `is a module: ${howToImport(entry)}`;
  }
  if (isPlain(entry)) return undefined;
  return `is an instance of ${entry.constructor.name}: a plugin is a plain object, made by a factory`;
}

function checkTexts(value: unknown, what: string): readonly string[] {
  const ok = Array.isArray(value) && value.every((one) => typeof one === 'string');
  return value === undefined || ok ? [] : [`${what}: expected a list of names, got ${kindOf(value)}`];
}

function checkRoles(maps: unknown): readonly string[] {
  if (typeof maps === 'function') return [];
  const notTexts = checkTexts(maps, 'maps');
  if (notTexts.length > 0 || !Array.isArray(maps)) return notTexts;
  return maps.flatMap((role: unknown) => {
    try {
      if (typeof role === 'string') parseRole(role);
      return [];
    } catch (error) {
      return [`maps: '${String(role)}': ${(error as Error).message}`];
    }
  });
}

function checkTable(value: unknown, what: string): readonly string[] {
  if (value === undefined) return [];
  if (!isTable(value)) return [`${what}: expected an object, got ${kindOf(value)}`];
  const wrong = Object.entries(value).filter(([, is]) => typeof is !== 'function' && is !== undefined);
  return wrong.map(([key, is]) => `${what}.${key}: expected a function, got ${kindOf(is)}`);
}

function checkCommands(commands: unknown): readonly string[] {
  if (commands === undefined) return [];
  if (!isTable(commands)) return [`commands: expected an object, got ${kindOf(commands)}`];
  return Object.entries(commands).flatMap(([words, is]) => {
    const [summary, run] = isTable(is) ? [is['summary'], is['run']] : [];
    if (typeof summary === 'string' && typeof run === 'function') return [];
    const got = isTable(is) ? 'an object without them' : kindOf(is);
    return [`commands['${words}']: expected a command with summary and run, got ${got}`];
  });
}

function checkDatabases(databases: unknown): readonly string[] {
  if (databases === undefined) return [];
  if (!isTable(databases)) return [`databases: expected an object, got ${kindOf(databases)}`];
  return Object.entries(databases).flatMap(([name, is]) => {
    if (name === '' || name === '*') return [`databases: '${name}' is no name that a client uses`];
    const [admit, serve] = isTable(is) ? [is['admit'], is['serve']] : [];
    if (typeof admit === 'function' && typeof serve === 'function') return [];
    const got = isTable(is) ? 'an object without them' : kindOf(is);
    return [`databases['${name}']: expected functions admit and serve, got ${got}`];
  });
}

function checkCredentials({ credentials, scope }: Readonly<Record<string, unknown>>): readonly string[] {
  if (!Array.isArray(credentials)) return [];
  if (credentials.length === 0) return ['credentials: lists none: it would never run'];
  const strange = credentials.filter((one) => !CREDENTIALS.some((known) => known === one));
  if (strange.length > 0)
    return strange.map((one: unknown) => `credentials: ${expected(alternatives(CREDENTIALS), one)}`);
  const only: unknown = isTable(scope) ? scope['credentials'] : undefined;
  if (!Array.isArray(only) || only.some((one) => credentials.includes(one))) return [];
  return [
    `only() limits it to ${alternatives(only)}, and it is for ${alternatives(credentials)}: it would never run`,
  ];
}

function checkScopeNames(scope: Scope, known: KnownNames): readonly string[] {
  return SCOPE_KEYS.flatMap((key) => {
    const names: readonly string[] | undefined = scope[key];
    const all = key === 'credentials' ? CREDENTIALS : known[key];
    if (names?.length === 0) return [`only() lists no ${key}: it would never run`];
    // Scopes are by the name a client used, and no client uses this one.
    if (names?.includes('*')) return [`only() names '*', which covers nothing: name each of the ${key}`];
    const whose = key === 'credentials' ? 'there is not' : 'the config does not have';
    const strange = all ? (names ?? []).filter((name) => !all.includes(name)) : [];
    return strange.map((name) => {
      const known = didYouMean(name, all ?? []) || `; known: ${alternatives(all ?? [])}`;
      return `only() names the ${key.slice(0, -1)} '${name}', which ${whose}${known}`;
    });
  });
}

function checkScope(scope: unknown, known: KnownNames): readonly string[] {
  if (scope === undefined) return [];
  if (!isTable(scope)) return [`scope: expected an object, got ${kindOf(scope)}`];
  const strange = Object.keys(scope).filter((key) => !SCOPE_KEYS.some((one) => one === key));
  const wrong = SCOPE_KEYS.flatMap((key) => checkTexts(scope[key], `scope.${key}`));
  if (strange.length + wrong.length > 0)
    return [...strange.map((key) => unknownKey(key, SCOPE_KEYS)), ...wrong];
  return checkScopeNames(scope, known);
}

function checkShape(plugin: Readonly<Record<string, unknown>>, known: KnownNames): readonly string[] {
  const reads = plugin['reads'];
  const inBand = plugin['inBand'];
  return [
    ...Object.keys(plugin)
      .filter((key) => !KEYS.includes(key))
      .map((key) => unknownKey(key, KEYS)),
    ...HOOKS.filter((hook) => plugin[hook] !== undefined && typeof plugin[hook] !== 'function').map(
      (hook) => `${hook}: expected a function, got ${kindOf(plugin[hook])}`,
    ),
    ...LISTS.flatMap((key) => checkTexts(plugin[key], key)),
    ...checkRoles(plugin['maps']),
    ...checkCredentials(plugin),
    ...TABLES.flatMap((key) => checkTable(plugin[key], key)),
    ...checkAnnouncement(plugin['announces']),
    ...checkCommands(plugin['commands']),
    ...checkDatabases(plugin['databases']),
    ...Object.keys(isTable(inBand) ? inBand : {})
      .filter((key) => !IN_BAND_KEY.test(key))
      .map(
        (key) => `inBand: '${key}' is no name of ours: expected postern.… of lower-case letters, _ and dots`,
      ),
    ...(reads === undefined || READS.some((one) => one === reads)
      ? []
      : [
          `reads: expected ${alternatives(READS)}, got ${typeof reads === 'string' ? `'${reads}'` : kindOf(reads)}`,
        ]),
    ...checkScope(plugin['scope'], known),
  ];
}

function checkEntry(entry: unknown, where: string, known: KnownNames): readonly string[] {
  const instead = notPlugin(entry);
  if (instead !== undefined) return [`${where} ${instead}`];
  const plugin = entry as Readonly<Record<string, unknown>>;
  const { name } = plugin as { readonly name?: unknown };
  if (typeof name !== 'string' || name === '') return [`${where} has no name: expected { name: 'mine', … }`];
  return checkShape(plugin, known).map((sentence) => `${where} ('${name}') ${sentence}`);
}

/**
 * Checks each of the `plugins` of a config by itself, and leaves out the entries that are false, null or undefined.
 * @param known what `only()` may name. Default: anything
 * @throws ConfigError with one line per mistake
 */
export function checkPlugins(list: readonly unknown[], known: KnownNames = {}): readonly AnyPlugin[] {
  const entries = [...list.entries()].filter(
    ([, entry]) => entry !== false && entry !== null && entry !== undefined,
  );
  const wrong = entries.flatMap(([place, entry]) => checkEntry(entry, `plugins[${place}]`, known));
  if (wrong.length > 0) throw new ConfigError(wrong.join('\n'));
  return entries.map(([, entry]) => entry as AnyPlugin);
}

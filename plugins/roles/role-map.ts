/** The options of `roles()`, checked once at boot. */
import { ConfigError, GatewayError, TARGETS, parseRole } from '../../core/index.ts';
import type { RoleName, Target } from '../../core/index.ts';

/** Options of the `roles` plugin for the tokens of one issuer. A reload applies them to new sessions. */
export interface RolesOptions {
  /** The claim that names roles: a text or a list of texts. A path such as `realm_access.roles` reaches into objects. */
  readonly claim: string;
  /** Whose tokens this is for: another issuer cannot mint these roles. Needed in a list. Default: every issuer `jwt` accepts. */
  readonly issuer?: string;
  /** Roles a token may take by their own name. Default: `map` decides. */
  readonly allow?: readonly string[];
  /** From a value of the claim to a role, such as `{ 'eng-data': 'reader' }`. Default: `allow` decides. */
  readonly map?: Readonly<Record<string, string>>;
  /**
   * A role made of the claim's value, which has to be of `a-z 0-9 _`: `'app_{value}'`, with a fixed beginning so that no token
   * names a role that was not meant. Default: `allow` or `map` decides.
   */
  readonly template?: string;
  /** The databases, by the names that clients use, for which this is. Default: all. */
  readonly databases?: readonly string[];
  /** The role of tokens without the claim. Default: they are refused. */
  readonly default?: string;
  /**
   * Which servers of a database serve a role, such as `{ analyst: 'replica' }`. A token may narrow that by its rule `target`;
   * where there is nothing here for its role, it may only bind itself to replicas. Default: as the database's entry says.
   */
  readonly targets?: Readonly<Record<string, Target>>;
}

/** One issuer's options, checked. */
export interface RoleMap {
  readonly claim: string;
  readonly issuer: string | undefined;
  readonly databases: readonly string[] | undefined;
  /** By the claim's exact value; those that are made by a template are not in it. */
  readonly roles: ReadonlyMap<string, RoleName>;
  /** The role that a template makes of a value, if it makes one. */
  readonly make: ((value: string) => RoleName | undefined) | undefined;
  readonly fallback: RoleName | undefined;
  readonly targets: ReadonlyMap<RoleName, Target>;
}

const KNOWN = ['claim', 'issuer', 'allow', 'map', 'template', 'databases', 'default', 'targets'];
const PLACE = '{value}';

function bad(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

function text(path: string, value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : bad(path, 'a text is needed');
}

function role(path: string, value: unknown): RoleName {
  try {
    return parseRole(text(path, value));
  } catch (error) {
    if (error instanceof GatewayError)
      bad(path, error.hint ? `${error.message} (${error.hint})` : error.message);
    throw error;
  }
}

/** What a template makes of a value: undefined where it is none that may stand in a role. */
function makerOf(path: string, template: string | undefined): RoleMap['make'] {
  if (template === undefined) return undefined;
  const [before = '', after = '', ...more] = text(path, template).split(PLACE);
  if (!template.includes(PLACE) || more.length > 0) bad(path, `${PLACE} has to be in it once`);
  if (before === '') bad(path, `something has to stand before ${PLACE}`);
  role(path, `${before}x${after}`);
  return (value) => {
    const name = `${before}${value}${after}`;
    // 63: PostgreSQL would cut it (manual, 4.1.1), and two values could meet.
    return /^[a-z0-9_]+$/.test(value) && name.length <= 63 ? parseRole(name) : undefined;
  };
}

function databasesOf(path: string, given: RolesOptions['databases']): readonly string[] | undefined {
  if (given === undefined) return undefined;
  if (!Array.isArray(given) || given.length === 0) bad(path, 'a list of databases is needed');
  return (given as readonly unknown[]).map((name, index) => text(`${path}[${index}]`, name));
}

function entriesOf(
  path: string,
  { allow, map, template }: RolesOptions,
): readonly (readonly [string, RoleName])[] {
  const given = Object.entries({ allow, map, template }).filter(([, value]) => value !== undefined);
  if (given.length > 1) bad(path, `${given.map(([name]) => name).join(' and ')} exclude each other`);
  if (map !== undefined) {
    return Object.entries(map).map(
      ([value, name]) => [value, role(`${path}.map["${value}"]`, name)] as const,
    );
  }
  if (allow !== undefined && !Array.isArray(allow)) bad(`${path}.allow`, 'a list of roles is needed');
  return (allow ?? []).map((name, index) => [name, role(`${path}.allow[${index}]`, name)] as const);
}

function targetsOf(
  path: string,
  given: RolesOptions['targets'],
  possible: (role: RoleName) => boolean,
): ReadonlyMap<RoleName, Target> {
  if (given === undefined) return new Map();
  if (typeof given !== 'object' || given === null || Array.isArray(given)) bad(path, 'an object is needed');
  const targets = Object.entries(given).map(([name, value]) => {
    const known = role(`${path}.${name}`, name);
    if (!possible(known)) return bad(`${path}.${name}`, 'no token can get this role');
    const target = TARGETS.find((one) => one === value);
    return [known, target ?? bad(`${path}.${name}`, `one of ${TARGETS.join(', ')} is needed`)] as const;
  });
  return new Map(targets);
}

function roleMap(path: string, options: RolesOptions): RoleMap {
  if (typeof options !== 'object' || options === null) bad(path, 'an object is needed');
  const stranger = Object.keys(options).find((name) => !KNOWN.includes(name));
  if (stranger !== undefined) bad(`${path}.${stranger}`, `no such option; there are ${KNOWN.join(', ')}`);
  const entries = entriesOf(path, options);
  const make = makerOf(`${path}.template`, options.template);
  if (entries.length === 0 && !make) {
    bad(`${path}.${options.map ? 'map' : 'allow'}`, 'at least one role is needed, in allow or in map');
  }
  const twice = entries.find(([value], index) => entries.findIndex(([other]) => other === value) < index);
  if (twice) bad(`${path}.allow`, `"${twice[0]}" comes twice`);
  const fallback = options.default === undefined ? undefined : role(`${path}.default`, options.default);
  const roles = [...entries.map(([, name]) => name), fallback];
  return {
    claim: text(`${path}.claim`, options.claim),
    issuer: options.issuer === undefined ? undefined : text(`${path}.issuer`, options.issuer),
    databases: databasesOf(`${path}.databases`, options.databases),
    roles: new Map(entries),
    make,
    fallback,
    targets: targetsOf(
      `${path}.targets`,
      options.targets,
      (name) => roles.includes(name) || make !== undefined,
    ),
  };
}

/** Whether some login would meet both. */
function meet(one: RoleMap, other: RoleMap): boolean {
  const issuers = one.issuer === undefined || other.issuer === undefined || one.issuer === other.issuer;
  const databases =
    !one.databases || !other.databases || one.databases.some((name) => other.databases?.includes(name));
  return issuers && databases;
}

/** The one for the tokens of an issuer at a database; undefined if there is none. */
export function mapFor(maps: readonly RoleMap[], issuer: string, database: string): RoleMap | undefined {
  return maps.find(
    (map) =>
      (map.issuer === undefined || map.issuer === issuer) && (map.databases?.includes(database) ?? true),
  );
}

/** Checks the options. @throws ConfigError that names the option, such as `roles[1].issuer` */
export function roleMaps(options: RolesOptions | readonly RolesOptions[]): readonly RoleMap[] {
  if (!Array.isArray(options)) return [roleMap('roles', options as RolesOptions)];
  if (options.length === 0) bad('roles', 'at least one entry is needed');
  const maps = (options as readonly RolesOptions[]).map((item, index) => roleMap(`roles[${index}]`, item));
  for (const [index, map] of maps.entries()) {
    if (map.issuer === undefined && map.databases === undefined)
      bad(`roles[${index}].issuer`, 'needed in a list, so that each issuer has its own roles; or databases');
    const twin = maps.findIndex((other) => meet(map, other));
    if (twin < index) bad(`roles[${index}]`, `it is for tokens and databases that roles[${twin}] is for`);
  }
  return maps;
}

/** Every role that some token can get, each once; undefined where templates make them. */
export function rolesIn(maps: readonly RoleMap[]): readonly RoleName[] | undefined {
  if (maps.some(({ make }) => make)) return undefined;
  const all = maps.flatMap(({ roles, fallback }) => [...roles.values(), ...(fallback ? [fallback] : [])]);
  return [...new Set(all)];
}

/** The options of `roles()`, checked once at boot. */
import {
  TARGETS,
  badOption,
  parseRole,
  readList,
  readObject,
  readParsed,
  readText,
} from '../../core/index.ts';
import type { RoleName, Target } from '../../core/index.ts';
import { matcherOf } from './pattern.ts';
import { valuesOf } from './values.ts';
import type { ClaimOption, Shape, Values } from './values.ts';

/**
 * Options of the `roles` plugin for the tokens of one issuer.
 *
 * @reload new sessions
 */
export interface RolesOptions {
  /**
   * The claim that names roles: a text or a list of texts. A path such as `realm_access.roles` reaches into objects. Of a list of claims the values
   * are taken together. A function reads claims by `claim('name')` and gives values as a claim would have them.
   *
   * @example claim: 'realm_access.roles'
   */
  readonly claim: ClaimOption;
  /**
   * How else values stand in the claim: `'words'` of a text between blanks, as in `scope`, or `'keys'` of an object, as in ZITADEL's roles.
   *
   * @defaultValue none: the claim is a text or a list of texts
   * @example as: 'words'
   */
  readonly as?: Shape;
  /**
   * The issuer whose tokens this entry is for, so that no issuer can mint the roles of another. Required in a list, or `databases`.
   *
   * @defaultValue every issuer that `jwt` accepts
   * @example issuer: 'https://id.example'
   */
  readonly issuer?: string;
  /**
   * The roles that a token may take by their own name.
   *
   * @defaultValue none: `map` or `template` decides
   * @example allow: ['reader', 'writer']
   */
  readonly allow?: readonly string[];
  /**
   * Instead of `allow`: from a value of the claim to a role. `*` in a value is any text. A value that stands here itself has that role alone, any other
   * the role of the first pattern that fits it as a whole.
   *
   * @defaultValue none: `allow` or `template` decides
   * @example map: { 'team-lead': 'writer', 'team-*': 'reader' }
   */
  readonly map?: Readonly<Record<string, string>>;
  /**
   * Instead of both: a role made of the claim's value, which has to be of `a-z 0-9 _`. The template begins with fixed text, so that no token names a
   * role that was not meant. What comes out is never cut.
   *
   * @defaultValue none: `allow` or `map` decides
   * @example template: 'app_{value}'
   */
  readonly template?: string;
  /**
   * The databases that this entry is for, by the names that clients use.
   *
   * @defaultValue all
   * @example databases: ['orders']
   */
  readonly databases?: readonly string[];
  /**
   * The role of tokens without the claim. A claim that is there and names no role is refused all the same.
   *
   * @defaultValue none: they are refused
   * @example default: 'reader'
   */
  readonly default?: string;
  /**
   * Which servers of a database serve a role: `'primary'`, `'replica'`, `'prefer-replica'` or `'any'`. A token may narrow that by its rule `target`;
   * where nothing stands here for its role, it may only bind itself to replicas.
   *
   * @defaultValue as the database's entry says
   * @example targets: { analyst: 'replica' }
   */
  readonly targets?: Readonly<Record<string, Target>>;
}

/** One issuer's options, checked. */
export interface RoleMap {
  readonly values: Values;
  readonly issuer: string | undefined;
  readonly databases: readonly string[] | undefined;
  /** The role that a value of the claim means here, if it means one. */
  readonly roleOf: (value: string) => RoleName | undefined;
  /** Every role that some token can get; undefined where a template makes them. */
  readonly possible: readonly RoleName[] | undefined;
  readonly fallback: RoleName | undefined;
  readonly targets: ReadonlyMap<RoleName, Target>;
}

const KNOWN: readonly (keyof RolesOptions)[] = [
  'claim',
  'as',
  'issuer',
  'allow',
  'map',
  'template',
  'databases',
  'default',
  'targets',
];
const PLACE = '{value}';

const roleAt = (path: string, value: unknown): RoleName => readParsed(path, value, parseRole);

/** What a template makes of a value: undefined where it is none that may stand in a role. */
function makerOf(path: string, template: string): RoleMap['roleOf'] {
  const [before = '', after = '', ...more] = readText(path, template).split(PLACE);
  if (!template.includes(PLACE) || more.length > 0) badOption(path, `${PLACE} has to be in it once`);
  if (before === '') badOption(path, `something has to stand before ${PLACE}`);
  roleAt(path, `${before}x${after}`);
  return (value) => {
    const name = `${before}${value}${after}`;
    // 63: PostgreSQL would cut it (manual, 4.1.1), and two values could meet.
    return /^[a-z0-9_]+$/.test(value) && name.length <= 63 ? parseRole(name) : undefined;
  };
}

function databasesOf(path: string, given: RolesOptions['databases']): readonly string[] | undefined {
  return given === undefined ? undefined : readList(path, given, readText, 'databases');
}

type Meaning = Pick<RoleMap, 'roleOf' | 'possible'>;

function allowed(path: string, allow: readonly string[] | undefined): Meaning {
  if (allow !== undefined && !Array.isArray(allow)) badOption(path, 'a list of roles is needed');
  const roles = (allow ?? []).map((name, index) => roleAt(`${path}[${index}]`, name));
  if (roles.length === 0) badOption(path, 'at least one role is needed, in allow or in map');
  const twice = roles.find((name, index) => roles.indexOf(name) < index);
  if (twice !== undefined) badOption(path, `"${twice}" comes twice`);
  const known: ReadonlyMap<string, RoleName> = new Map(roles.map((name) => [name, name]));
  return { roleOf: (value) => known.get(value), possible: roles };
}

function mapped(path: string, map: Readonly<Record<string, string>>): Meaning {
  if (typeof map !== 'object' || map === null || Array.isArray(map)) badOption(path, 'an object is needed');
  const entries = Object.entries(map).map(
    ([value, name]) => [value, roleAt(`${path}["${value}"]`, name)] as const,
  );
  if (entries.length === 0) badOption(path, 'at least one role is needed, in allow or in map');
  const exact = new Map(entries.filter(([value]) => !value.includes('*')));
  const patterns = entries
    .filter(([value]) => value.includes('*'))
    .map(([value, name]) => ({ matches: matcherOf(value), name }));
  return {
    roleOf: (value) => exact.get(value) ?? patterns.find(({ matches }) => matches(value))?.name,
    possible: entries.map(([, name]) => name),
  };
}

function meaningOf(path: string, { allow, map, template }: RolesOptions): Meaning {
  const given = Object.entries({ allow, map, template }).filter(([, value]) => value !== undefined);
  if (given.length > 1) badOption(path, `${given.map(([name]) => name).join(' and ')} exclude each other`);
  if (template !== undefined) {
    return { roleOf: makerOf(`${path}.template`, template), possible: undefined };
  }
  return map === undefined ? allowed(`${path}.allow`, allow) : mapped(`${path}.map`, map);
}

function targetsOf(
  path: string,
  given: RolesOptions['targets'],
  possible: (role: RoleName) => boolean,
): ReadonlyMap<RoleName, Target> {
  if (given === undefined) return new Map();
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    badOption(path, 'an object is needed');
  const targets = Object.entries(given).map(([name, value]) => {
    const known = roleAt(`${path}.${name}`, name);
    if (!possible(known)) return badOption(`${path}.${name}`, 'no token can get this role');
    const target = TARGETS.find((one) => one === value);
    return [known, target ?? badOption(`${path}.${name}`, `one of ${TARGETS.join(', ')} is needed`)] as const;
  });
  return new Map(targets);
}

function roleMap(path: string, given: unknown): RoleMap {
  const options = readObject<RolesOptions>(path, given, KNOWN);
  const { roleOf, possible } = meaningOf(path, options);
  const fallback = options.default === undefined ? undefined : roleAt(`${path}.default`, options.default);
  const all = possible && [...possible, ...(fallback === undefined ? [] : [fallback])];
  return {
    values: valuesOf(path, options),
    issuer: options.issuer === undefined ? undefined : readText(`${path}.issuer`, options.issuer),
    databases: databasesOf(`${path}.databases`, options.databases),
    roleOf,
    possible: all,
    fallback,
    targets: targetsOf(`${path}.targets`, options.targets, (name) => all?.includes(name) ?? true),
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

/** Those that count for some login at a database; for `'*'` all, since the names that they list may be served there. */
export function mapsAt(maps: readonly RoleMap[], database: string): readonly RoleMap[] {
  return maps.filter(({ databases }) => database === '*' || (databases?.includes(database) ?? true));
}

/** Checks the options. @throws ConfigError that names the option, such as `roles[1].issuer` */
export function roleMaps(options: RolesOptions | readonly RolesOptions[]): readonly RoleMap[] {
  if (!Array.isArray(options)) return [roleMap('roles', options)];
  const maps = readList('roles', options, roleMap, 'entries');
  for (const [index, map] of maps.entries()) {
    if (map.issuer === undefined && map.databases === undefined)
      badOption(
        `roles[${index}].issuer`,
        'needed in a list, so that each issuer has its own roles; or databases',
      );
    const twin = maps.findIndex((other) => meet(map, other));
    if (twin < index)
      badOption(`roles[${index}]`, `it is for tokens and databases that roles[${twin}] is for`);
  }
  return maps;
}

/** Every role that some token can get, each once; undefined where templates make them. */
export function rolesIn(maps: readonly RoleMap[]): readonly RoleName[] | undefined {
  const all = maps.map(({ possible }) => possible);
  return all.includes(undefined) ? undefined : [...new Set(all.flatMap((roles) => roles ?? []))];
}

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
  /** By the claim's exact value. */
  readonly roles: ReadonlyMap<string, RoleName>;
  readonly fallback: RoleName | undefined;
  readonly targets: ReadonlyMap<RoleName, Target>;
}

const KNOWN = ['claim', 'issuer', 'allow', 'map', 'default', 'targets'];

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

function entriesOf(path: string, { allow, map }: RolesOptions): readonly (readonly [string, RoleName])[] {
  if (allow !== undefined && map !== undefined) bad(path, 'allow and map exclude each other');
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
  roles: readonly (RoleName | undefined)[],
): ReadonlyMap<RoleName, Target> {
  if (given === undefined) return new Map();
  if (typeof given !== 'object' || given === null || Array.isArray(given)) bad(path, 'an object is needed');
  const targets = Object.entries(given).map(([name, value]) => {
    const known = roles.find((one) => one === name);
    if (known === undefined) return bad(`${path}.${name}`, 'no token can get this role');
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
  if (entries.length === 0) {
    bad(`${path}.${options.map ? 'map' : 'allow'}`, 'at least one role is needed, in allow or in map');
  }
  const twice = entries.find(([value], index) => entries.findIndex(([other]) => other === value) < index);
  if (twice) bad(`${path}.allow`, `"${twice[0]}" comes twice`);
  const fallback = options.default === undefined ? undefined : role(`${path}.default`, options.default);
  const roles = [...entries.map(([, name]) => name), fallback];
  return {
    claim: text(`${path}.claim`, options.claim),
    issuer: options.issuer === undefined ? undefined : text(`${path}.issuer`, options.issuer),
    roles: new Map(entries),
    fallback,
    targets: targetsOf(`${path}.targets`, options.targets, roles),
  };
}

/** Checks the options. @throws ConfigError that names the option, such as `roles[1].issuer` */
export function roleMaps(options: RolesOptions | readonly RolesOptions[]): readonly RoleMap[] {
  if (!Array.isArray(options)) return [roleMap('roles', options as RolesOptions)];
  if (options.length === 0) bad('roles', 'at least one entry is needed');
  const maps = (options as readonly RolesOptions[]).map((item, index) => roleMap(`roles[${index}]`, item));
  for (const [index, { issuer }] of maps.entries()) {
    if (issuer === undefined)
      bad(`roles[${index}].issuer`, 'needed in a list, so that each issuer has its own roles');
    if (maps.findIndex((other) => other.issuer === issuer) < index) {
      bad(`roles[${index}].issuer`, `"${issuer}" comes twice`);
    }
  }
  return maps;
}

/** Every role that some token can get, each once. */
export function rolesIn(maps: readonly RoleMap[]): readonly RoleName[] {
  const all = maps.flatMap(({ roles, fallback }) => [...roles.values(), ...(fallback ? [fallback] : [])]);
  return [...new Set(all)];
}

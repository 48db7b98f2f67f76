/** What `tenant()` may be told. A reload applies it to new sessions. */
import {
  badOption,
  parseDatabase,
  parseRole,
  parseSchema,
  parseTenant,
  readList,
  readObject,
  readParsed,
  readText,
} from '../../core/index.ts';
import type { DatabaseName, RoleName, SchemaName, TenantName } from '../../core/index.ts';

/**
 * Options of the `tenant` plugin. A template has `{tenant}` in it once: `'tenant_{tenant}'`.
 *
 * @reload new sessions
 */
export interface TenantOptions {
  /**
   * The claim that names the tenant, a text. A path such as `app.tenant` reaches into objects.
   *
   * @example claim: 'tenant'
   */
  readonly claim: string;
  /**
   * The tenant of tokens without the claim.
   *
   * @defaultValue none: they are refused
   * @example default: 'demo'
   */
  readonly default?: string;
  /**
   * Template of the role that logs in for the tenant.
   *
   * @defaultValue none: another plugin maps the role
   * @example role: 'tenant_{tenant}'
   */
  readonly role?: string;
  /**
   * Template of the schema that is pinned as `search_path`. A schema that does not exist refuses the login with 3F000.
   *
   * @defaultValue none is pinned
   * @example schema: 'tenant_{tenant}'
   */
  readonly schema?: string;
  /**
   * With `schema`: further schemas behind the tenant's own in `search_path`.
   *
   * @defaultValue none
   * @example shared: ['extensions']
   */
  readonly shared?: readonly string[];
  /**
   * Template of the database's name on the server. A database that does not exist is 3D000.
   *
   * @defaultValue as the entry says
   * @example database: 'tenant_{tenant}'
   */
  readonly database?: string;
  /**
   * Template of the entry of `databases` that serves the tenant, and with that its server. An entry that does not exist is 3D000.
   *
   * @defaultValue the one that the client names
   * @example entry: 'shard_{tenant}'
   */
  readonly entry?: string;
}

/** The options, checked: what is made of a tenant's name. */
export interface Templates {
  readonly claim: string;
  readonly fallback: TenantName | undefined;
  readonly role: ((tenant: TenantName) => RoleName) | undefined;
  readonly schema: ((tenant: TenantName) => SchemaName) | undefined;
  readonly shared: readonly SchemaName[];
  readonly database: ((tenant: TenantName) => DatabaseName) | undefined;
  readonly entry: ((tenant: TenantName) => string) | undefined;
}

const KNOWN: readonly (keyof TenantOptions)[] = [
  'claim',
  'default',
  'role',
  'schema',
  'shared',
  'database',
  'entry',
];
const PLACE = '{tenant}';

/** Undefined where the option is. The fixed part is checked here, the whole at each login. */
function template<T>(
  path: string,
  value: unknown,
  parse: (text: string) => T,
): ((tenant: TenantName) => T) | undefined {
  if (value === undefined) return undefined;
  const text = readText(path, value);
  if (text.split(PLACE).length !== 2) badOption(path, `${PLACE} has to be in it once`);
  const [before = '', after = ''] = text.split(PLACE);
  readParsed(path, `${before}x${after}`, parse);
  return (tenant) => parse(`${before}${tenant}${after}`);
}

function sharedOf({ shared, schema }: TenantOptions): readonly SchemaName[] {
  if (shared === undefined) return [];
  if (schema === undefined) badOption('tenant.shared', 'only with schema');
  if (Array.isArray(shared) && shared.length === 0) return [];
  return readList('tenant.shared', shared, (path, name) => readParsed(path, name, parseSchema), 'schemas');
}

/** Checks the options. @throws ConfigError that names the option, such as `tenant.schema` */
export function templatesOf(given: TenantOptions): Templates {
  const options = readObject<TenantOptions>('tenant', given, KNOWN);
  const { claim, role, schema, database, entry } = options;
  // A role made of nothing but the claim would let whoever writes tokens be any role there is.
  if (role === PLACE) badOption('tenant.role', `something has to stand before or behind ${PLACE}`);
  return {
    claim: readText('tenant.claim', claim),
    fallback:
      options.default === undefined ? undefined : readParsed('tenant.default', options.default, parseTenant),
    role: template('tenant.role', role, parseRole),
    schema: template('tenant.schema', schema, parseSchema),
    shared: sharedOf(options),
    database: template('tenant.database', database, parseDatabase),
    entry: template('tenant.entry', entry, String),
  };
}

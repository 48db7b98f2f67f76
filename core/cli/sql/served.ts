/** Which databases a config serves on which servers, and which roles may be mapped there: what a DBA has to prepare. */
import type { ResolvedConfig, ResolvedDatabase } from '../../config/check.ts';
import { ConfigError, GatewayError } from '../../contract/errors.ts';
import { parseDatabase, parseRole } from '../../contract/names.ts';
import type { RoleName } from '../../contract/names.ts';
import type { AnyPlugin } from '../../contract/plugin.ts';

/** A database entry with the roles that sessions may have there. */
export interface Served extends ResolvedDatabase {
  /** The name that clients use; `'*'` for all that have no entry. */
  readonly name: string;
  readonly roles: readonly RoleName[];
}

/** What was asked for on the command line. */
export interface Asked {
  /** One database, by the name that clients use. Default: all entries. */
  readonly database: string | undefined;
  /** Roles instead of those that the plugins say. Default: none given. */
  readonly roles: readonly string[];
}

function named<T>(option: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const hint = error.hint === undefined ? '' : ` (${error.hint})`;
    throw new ConfigError(`${option} ${text}: ${error.message}${hint}`);
  }
}

/** Roles that plugins may map there: by scope as sessions are, for any listener. */
export function mappedBy(plugins: readonly AnyPlugin[], name: string): readonly string[] {
  const met = plugins.filter(({ scope }) => scope?.databases?.includes(name) ?? true);
  return met.flatMap(({ maps = [] }) => (typeof maps === 'function' ? maps(name) : maps));
}

/** Where the config lists passwords, a role without one cannot log in. */
export function canLogIn({ login }: ResolvedDatabase, role: string): boolean {
  return (
    login.kind !== 'password' || typeof login.passwords === 'function' || Object.hasOwn(login.passwords, role)
  );
}

function namesIn(config: ResolvedConfig, asked: Asked): readonly string[] {
  if (asked.database !== undefined) return [asked.database];
  if (config.databaseNames.length > 0) return config.databaseNames;
  throw new ConfigError('databases is a function: name one that it serves by --database');
}

/**
 * What is served, in the order of the config.
 * @throws ConfigError for a database that there is not, for a name that is none, and where no roles are known
 */
export async function whatIsServed(config: ResolvedConfig, asked: Asked): Promise<readonly Served[]> {
  const given = asked.roles.map((role) => named('--role', role, parseRole));
  const served = [];
  for (const name of namesIn(config, asked)) {
    const database = await config.database(name);
    if (!database) throw new ConfigError(`--database ${name}: the config serves no database of this name`);
    if (name !== '*') named('--database', database.database, parseDatabase);
    const mapped = mappedBy(config.plugins, name).filter((role) => canLogIn(database, role));
    const roles = given.length > 0 ? given : mapped.map(parseRole);
    served.push({ ...database, name, roles: [...new Set(roles)] });
  }
  if (served.some(({ roles }) => roles.length > 0)) return served;
  throw new ConfigError('no plugin of this config says which roles it maps: name them by --role');
}

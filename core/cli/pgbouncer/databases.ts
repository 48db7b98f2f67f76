/** [databases] of PgBouncer as entries of `databases`. */
import { Members, fromEnv } from '../written/source.ts';
import type { Member, Value } from '../written/source.ts';
import type { Variables } from '../written/variables.ts';
import { leadingInteger } from './connect-string.ts';
import type { Connection } from './ini-config.ts';
import { NO_EQUIVALENT_OF_DATABASE } from './no-equivalent.ts';
import type { PoolSettings } from './pools.ts';
import type { Remarks } from './remarks.ts';
import type { ServerTls } from './server-tls.ts';

/** Keys that an entry has in some way. */
const KNOWN = [
  'host',
  'port',
  'dbname',
  'user',
  'password',
  'auth_user',
  'client_encoding',
  'datestyle',
  'timezone',
  'application_name',
  'pool_size',
  'min_pool_size',
  'reserve_pool',
  'reserve_pool_size',
  'max_db_connections',
  'pool_mode',
  'server_lifetime',
];
/** Sent to the server by PgBouncer. */
const RUN_TIME = ['client_encoding', 'datestyle', 'timezone', 'application_name'];

/** What all entries have in common. */
export interface Common {
  readonly remarks: Remarks;
  readonly variables: Variables;
  readonly pools: PoolSettings;
  readonly tls: ServerTls;
  /** Where PgBouncer looks for a server without `host`. */
  readonly sockets: string;
  /** Roles of an entry without `user`. */
  readonly users: readonly string[];
  /** The role that asks for passwords, by the name of the entry in which it does. */
  readonly asks: { readonly database: string; readonly role: string } | undefined;
}

/** The user of the server as which all clients of an entry are logged in. */
export function forcedUser({ pairs }: Connection): string | undefined {
  return pairs.get('user');
}

/** Which secret it is: passwords of one user may differ between connection strings. */
function variableOf(
  connection: Connection,
  role: string,
  variables: Variables,
  first: Map<string, string>,
): string {
  const given = forcedUser(connection) === role ? connection.pairs.get('password') : undefined;
  if (given === undefined) return variables.for(role, role);
  const before = first.get(role);
  if (before === undefined) first.set(role, given);
  const own = before !== undefined && before !== given;
  return own ? variables.for(`${role} ${connection.name}`, connection.name, role) : variables.for(role, role);
}

function sayUnknown({ name, pairs, place }: Connection, remarks: Remarks): void {
  for (const key of pairs.keys()) {
    if (KNOWN.includes(key)) continue;
    const why = NO_EQUIVALENT_OF_DATABASE.get(key) ?? 'is not known to this command';
    remarks.add(place, `${name}: ${key}: ${why}`);
  }
}

/** Writes entries one after the other. */
export class Entries {
  readonly #common: Common;
  /** Of passwords in connection strings, the first of each user. */
  readonly #first = new Map<string, string>();

  constructor(common: Common) {
    this.#common = common;
  }

  /** Roles that log in there. */
  rolesOf(connection: Connection): readonly string[] {
    const { users, asks } = this.#common;
    const forced = forcedUser(connection);
    const asking = asks?.database === connection.name ? [asks.role] : [];
    return [...new Set([...(forced === undefined ? users : [forced]), ...asking])];
  }

  member(connection: Connection): Member {
    const { name, pairs, place } = connection;
    sayUnknown(connection, this.#common.remarks);
    return { name, value: this.#entry(connection, pairs), above: [`${place.file}:${place.line}`] };
  }

  #entry(connection: Connection, pairs: ReadonlyMap<string, string>): Members {
    const { pools, tls, sockets } = this.#common;
    const hosts = (pairs.get('host') ?? sockets).split(',').map((host) => host.trim());
    const port = pairs.get('port');
    const roles = this.rolesOf(connection);
    const passwords = roles.map(
      (role) => [role, fromEnv(variableOf(connection, role, this.#common.variables, this.#first))] as const,
    );
    return new Members([
      { name: 'host', value: hosts.length === 1 ? (hosts[0] ?? '') : hosts },
      { name: 'port', value: port === undefined ? undefined : leadingInteger(port) },
      // Each connection goes to the next host, whatever that is.
      { name: 'target', value: hosts.length > 1 ? 'any' : undefined },
      { name: 'database', value: pairs.get('dbname') },
      { name: 'tls', value: tls.for(hosts) },
      { name: 'login', value: { kind: 'password', passwords: Object.fromEntries(passwords) } },
      { name: 'pool', value: pools.for(connection, roles.length) },
      { name: 'startup', value: defaultsOf(pairs) },
    ]);
  }
}

function defaultsOf(pairs: ReadonlyMap<string, string>): Value | undefined {
  const given = RUN_TIME.flatMap((name) => {
    const value = pairs.get(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  return given.length > 0 ? { default: Object.fromEntries(given) } : undefined;
}

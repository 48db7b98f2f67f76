/** The options of `passwords()`, checked once at boot. */
import {
  badOption,
  parseRole,
  readInteger,
  readObject,
  readParsed,
  readSecret,
  readText,
} from '../../core/index.ts';
import type { RoleName } from '../../core/index.ts';
import type { PasswordQueryOptions, PasswordsOptions, PasswordUser } from './options.ts';
import { UNTIL_FORM, parseUntil } from './until.ts';

/** Bytes of `secret`. */
export const SECRET_BYTES = 32;
const FUNCTION = /^[a-z_][a-z0-9_]{0,62}\.[a-z_][a-z0-9_]{0,62}$/;

const REALM = /^[a-z0-9_][a-z0-9_.-]{0,62}$/;
/** What the issuer of every identity begins with that a password has proven. No token has it. */
const ISSUER = 'password:';

/** Where passwords come from. */
export type From =
  | { readonly kind: 'file'; readonly file: string }
  | {
      readonly kind: 'query';
      readonly database: string;
      readonly role: RoleName;
      readonly function: string;
      readonly iterations: number;
    };

/** The options, checked. */
export interface Policy {
  readonly from: From;
  /** Of identities. */
  readonly issuer: string;
  /** Present where there is a `secret`; read each time it is called. */
  readonly secret: (() => string) | undefined;
  /** When the policy ends a user's password. */
  until(user: string): Date | undefined;
  /** Dates in the past, as `passwords.until`. */
  over(now: Date): readonly string[];
}

function fromOf({ file, query }: PasswordsOptions): From {
  if ((file === undefined) === (query === undefined)) badOption('passwords', 'file or query is needed');
  if (file !== undefined)
    return { kind: 'file', file: readText('passwords.file', file, 'the path of a userlist.txt') };
  return queryOf(
    readObject<PasswordQueryOptions>('passwords.query', query, [
      'database',
      'role',
      'function',
      'iterations',
    ]),
  );
}

function queryOf(query: PasswordQueryOptions): From {
  const { database, role, iterations = 4_096 } = query;
  const name = readText('passwords.query.function', query.function ?? 'postern.password_of');
  if (!FUNCTION.test(name))
    badOption('passwords.query.function', 'schema and name are needed, each of a-z 0-9 _');
  return {
    kind: 'query',
    database: readText('passwords.query.database', database, 'the name of a database of this config'),
    role: readParsed('passwords.query.role', role, parseRole, 'a role'),
    function: name,
    iterations: readInteger('passwords.query.iterations', iterations, { least: 1, most: 2 ** 31 - 1 }),
  };
}

function issuerOf({ realm }: PasswordsOptions): string {
  if (realm === undefined) return ISSUER;
  if (!REALM.test(readText('passwords.realm', realm, 'a name for the users of a list')))
    badOption('passwords.realm', 'a name of a-z 0-9 _ . - is needed, at most 63 characters');
  return `${ISSUER}${realm}`;
}

const untilAt = (path: string, value: unknown): Date =>
  readParsed(path, value, parseUntil, UNTIL_FORM.slice(0, -1));

function usersOf(users: PasswordsOptions['users']): ReadonlyMap<string, Date> {
  if (users === undefined) return new Map();
  if (typeof users !== 'object' || users === null || Array.isArray(users))
    badOption('passwords.users', 'an object with users is needed');
  return new Map(
    Object.entries(users).map(([name, value]) => {
      const path = `passwords.users["${name}"]`;
      const { until } = readObject<PasswordUser>(path, value, ['until']);
      return [name, untilAt(`${path}.until`, until)];
    }),
  );
}

/** Checks all options. @throws ConfigError that names the option, such as `passwords.users["billing"].until` */
export function parsePolicy(given: PasswordsOptions): Policy {
  const options = readObject<PasswordsOptions>('passwords', given, [
    'file',
    'query',
    'realm',
    'until',
    'users',
    'secret',
  ]);
  const all = options.until === undefined ? undefined : untilAt('passwords.until', options.until);
  const users = usersOf(options.users);
  const { secret } = options;
  return {
    from: fromOf(options),
    issuer: issuerOf(options),
    secret: secret === undefined ? undefined : readSecret('passwords.secret', secret, SECRET_BYTES),
    until: (user) => users.get(user) ?? all,
    over: (now) => [
      ...(all && all <= now ? ['passwords.until'] : []),
      ...[...users].filter(([, end]) => end <= now).map(([name]) => `passwords.users["${name}"].until`),
    ],
  };
}

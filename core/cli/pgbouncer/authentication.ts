/** How clients of PgBouncer prove who they are, as plugins of the config. */
import { ConfigError } from '../../contract/errors.ts';
import type { ListedPlugin } from '../written/config-text.ts';
import { call } from '../written/source.ts';
import type { Connection, IniConfig } from './ini-config.ts';
import type { Place } from './ini.ts';
import type { Remarks } from './remarks.ts';
import { usersIn, usersNamed } from './users.ts';

const TYPES = ['any', 'trust', 'plain', 'md5', 'scram-sha-256', 'cert', 'hba', 'pam', 'ldap'] as const;
type AuthType = (typeof TYPES)[number];

/** As `postern sql passwords` makes it. */
const ASKING_ROLE = 'postern_passwords';
const SCRAM = 'here each user proves its password by SCRAM-SHA-256';

/** What differs, for each type but scram-sha-256 and cert. */
const DIFFERS: Readonly<Partial<Record<AuthType, string>>> = {
  any: `auth_type = any asks for nothing: ${SCRAM}`,
  trust: `auth_type = trust asks for no password: ${SCRAM}`,
  plain: `auth_type = plain has passwords in clear: ${SCRAM}`,
  md5: `auth_type = md5: ${SCRAM}`,
  hba: `auth_type = hba: ${SCRAM}`,
  pam: `auth_type = pam: ${SCRAM}, and PAM is not asked`,
  ldap: `auth_type = ldap: ${SCRAM}, and no directory is asked`,
};

/** Who logs in, and how. */
export interface Authentication {
  readonly auth: 'scram' | 'certificate';
  /** The issuer of the identities. */
  readonly issuer: string;
  readonly plugin: ListedPlugin;
  readonly users: readonly string[];
  /** Where passwords are asked for; undefined: they are in a file. */
  readonly asks: { readonly database: string; readonly role: string } | undefined;
}

/** What the command line has to say to it. */
export interface Given {
  /** `--user` */
  readonly users: readonly string[];
  readonly remarks: Remarks;
  /** A path as this process finds it. */
  readonly found: (path: string) => string;
  /** A path as the config says it. */
  readonly pathOf: (path: string) => string;
}

interface AuthUser {
  readonly name: string;
  readonly place: Place;
  /** The entry in which it asks. */
  readonly database: string | undefined;
}

/** The user that asks for passwords: of [pgbouncer], or of the first database that has one. */
function authUserOf({ settings, databases }: IniConfig): AuthUser | undefined {
  const database = settings.text('auth_dbname')?.value;
  const asked = databases.find(({ name }) => name === database) ?? databases.find(({ name }) => name !== '*');
  const taken = settings.text('auth_user');
  if (taken) return { name: taken.value, place: taken.place, database: asked?.name };
  const own = databases.find(({ pairs }: Connection) => pairs.has('auth_user'));
  return own && { name: own.pairs.get('auth_user') ?? '', place: own.place, database: own.name };
}

function certificates(users: readonly string[]): Pick<Authentication, 'auth' | 'issuer' | 'plugin'> {
  return {
    auth: 'certificate',
    issuer: 'certificate:',
    plugin: {
      folder: 'certificates',
      factory: 'certificates',
      source: call('certificates', { by: 'commonName', allow: [{ name: users }] }),
      above: ['The common name of the client certificate is the user, as with auth_type = cert.'],
    },
  };
}

function passwords(
  source: Readonly<Record<string, string>> | { readonly file: string },
  above: string,
): ListedPlugin {
  const options = 'file' in source ? { file: source.file } : { query: source };
  return { folder: 'passwords', factory: 'passwords', source: call('passwords', options), above: [above] };
}

function needUsers(users: readonly string[]): void {
  if (users.length > 0) return;
  throw new ConfigError(
    'no user is known: the allow-list of roles names each one that logs in, so name those by --user, as often as needed',
  );
}

/** Who logs in and how, by auth_type, auth_file and auth_query. @throws ConfigError where no user is known */
export async function authenticationOf(ini: IniConfig, given: Given): Promise<Authentication> {
  const { settings } = ini;
  const { remarks } = given;
  const type = settings.choice('auth_type', TYPES);
  const file = settings.text('auth_file');
  const query = settings.text('auth_query');
  const asking = authUserOf(ini);
  const listed = file ? await usersIn({ path: given.found(file.value), place: file.place }, remarks) : [];
  // Its own line is all that a file has where the others are asked for.
  const asked = asking !== undefined && listed.every((name) => name === asking.name);
  const known = asked ? [] : listed;
  const users = [...new Set([...known, ...usersNamed(given.users, remarks)])];
  const differs = DIFFERS[type?.value ?? 'md5'];
  if (type && differs !== undefined) remarks.add(type.place, differs);
  if (query && !asking) remarks.add(query.place, 'auth_query is without effect: there is no auth_user');
  needUsers(users);
  if (type?.value === 'cert') return { ...certificates(users), users, asks: undefined };
  const common = { auth: 'scram', issuer: 'password:', users } as const;
  if (asking && asked && asking.database !== undefined) {
    const asks = { database: asking.database, role: ASKING_ROLE };
    remarks.add(
      (query ?? asking).place,
      `auth_query: a function is asked instead, as role ${ASKING_ROLE} and not as ${asking.name}: run what postern sql passwords prints in the database of ${asking.database}`,
    );
    return {
      ...common,
      asks,
      plugin: passwords(asks, 'Passwords as the server keeps them, where auth_query asked for them.'),
    };
  }
  if (asking)
    remarks.add(
      (query ?? asking).place,
      'auth_user: passwords come from auth_file or from the server, not from both: users that the file has not are refused',
    );
  if (!file)
    throw new ConfigError(
      'auth_file or auth_user is needed: the gateway has no other passwords to compare with',
    );
  return {
    ...common,
    asks: undefined,
    plugin: passwords(
      { file: given.pathOf(file.value) },
      "PgBouncer's own list; it is read again when it changes.",
    ),
  };
}

/** The SQL that makes the roles of a server: plain, and without effect where it has been run before. */
import { block, comment, literal, quoted } from './quoting.ts';
import type { Served } from './served.ts';

function createRole(role: string, attributes: string): readonly string[] {
  const missing = `not exists (select from pg_catalog.pg_roles where rolname = ${literal(role)})`;
  return [block([`if ${missing} then`, `  create role ${quoted(role)} ${attributes};`, 'end if;'])];
}

/** A role that exists may have been made without. */
const letLogIn = (role: string): readonly string[] => [
  ...createRole(role, 'login'),
  `alter role ${quoted(role)} login;`,
];

/** Since PostgreSQL 16 a membership can be for SET ROLE alone; before that, NOINHERIT does it for the whole role. */
function letBecome(user: string, role: string): string {
  const grant = `grant ${quoted(role)} to ${quoted(user)}`;
  return block([
    `if pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 160000 then`,
    `  execute ${literal(`${grant} with inherit false, set true`)};`,
    'else',
    `  ${grant};`,
    'end if;',
  ]);
}

function rolesOf({ login, roles }: Served): readonly string[] {
  if (login.kind !== 'set-role') return roles.flatMap(letLogIn);
  const gate = [
    ...createRole(login.user, 'login noinherit'),
    `alter role ${quoted(login.user)} login noinherit;`,
  ];
  const mapped = roles.filter((role) => role !== login.user);
  return [
    ...gate,
    ...mapped.flatMap((role) => [...createRole(role, 'nologin'), letBecome(login.user, role)]),
  ];
}

function connectTo({ name, database, login, roles }: Served): readonly string[] {
  if (name === '*') {
    return [comment("'*' serves every other database: --database NAME prints what one of them needs")];
  }
  const users = login.kind === 'set-role' ? [login.user] : roles;
  return users.map((user) => `grant connect on database ${quoted(database)} to ${quoted(user)};`);
}

/** What has to be known to write secrets and rights, which this command does not. */
function remarks({ login, roles }: Served): readonly string[] {
  const set = (user: string): string => comment(`\\password ${quoted(user)}`);
  if (login.kind === 'password') {
    return [comment('In psql, set each password to the one that the config gives:'), ...roles.map(set)];
  }
  if (login.kind !== 'set-role') return [];
  return [comment('In psql, set the password to the one that the config gives:'), set(login.user)];
}

/** Statements for the entries of one server, each once, comments between them. */
export function statementsFor(served: readonly Served[]): readonly string[] {
  const all = served.flatMap((one) => [...rolesOf(one), ...connectTo(one), ...remarks(one)]);
  return [...new Set(all)];
}

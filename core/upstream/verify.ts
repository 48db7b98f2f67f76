/** Verifies a new login before a session may use it: it is the mapped role, the role is not privileged, its schemas exist. Reads its defaults, too. */
import { GatewayError } from '../contract/errors.ts';
import type { SchemaName } from '../contract/names.ts';
import type { Conversation } from './conversation.ts';
import { DEFAULTS_COLUMNS, DEFAULTS_WIDTH, defaultsIn } from './session-defaults.ts';
import type { SessionDefaults } from './session-defaults.ts';
import { UNRESETTABLE, isUnresettable } from './unresettable-state.ts';
import { execute } from './query.ts';
import type { TextRow } from './query.ts';
import { describeRefusal, unreachable } from './refusals.ts';

/** The conditions that a login has to meet. */
export interface Expectation {
  /** The mapped role: the role of the client. */
  readonly role: string;
  /** The user that logged in: the role itself, or the one that becomes it by `set-role`. */
  readonly user: string;
  readonly schemas: readonly SchemaName[];
  /** Roles that may be privileged. */
  readonly privilegedRoles: readonly string[];
}

/**
 * Functions, types and operators carry their schema: the role's own default of search_path may put others in front.
 * Members of the three pg_… roles can become superuser (manual, 22.5), so they count as privileged.
 */
const QUERY = `/* the gateway verifies its login */
select session_user::pg_catalog.text, current_user::pg_catalog.text,
  (select r.rolname::pg_catalog.text from pg_catalog.pg_roles as r
    where (r.rolsuper or r.rolreplication or r.rolbypassrls or r.rolcreaterole
        or r.rolname operator(pg_catalog.=) 'pg_execute_server_program'::pg_catalog.name
        or r.rolname operator(pg_catalog.=) 'pg_read_server_files'::pg_catalog.name
        or r.rolname operator(pg_catalog.=) 'pg_write_server_files'::pg_catalog.name)
      and pg_catalog.pg_has_role($2::pg_catalog.name, r.oid, 'MEMBER')
    order by r.rolname operator(pg_catalog.<>) $2::pg_catalog.name limit 1),
  (select wanted.name from pg_catalog.unnest($1::pg_catalog.text[]) as wanted(name)
    where not exists (select from pg_catalog.pg_namespace as n
      where n.nspname operator(pg_catalog.=) wanted.name::pg_catalog.name) limit 1),
  ${UNRESETTABLE},
  ${DEFAULTS_COLUMNS}`;

/** Columns in front of the defaults. */
const VERIFIED = 5;

/** Other results of the query. */
export interface Verified {
  /** The database has state that no reset undoes: {@link UNRESETTABLE}. */
  readonly unresettable: boolean;
  /** Those of the connection, before any setting of a session is in force. */
  readonly defaults: SessionDefaults;
}

/**
 * Verifies a login by one query, once for the role and once more for the user that logged in, if that is another.
 * @throws GatewayError `invalid_authorization_specification` if it is not the mapped role; `insufficient_privilege` if
 * either is superuser, REPLICATION, BYPASSRLS or CREATEROLE, or a member of such a role; `invalid_schema_name`
 */
export async function verify(talk: Conversation, expected: Expectation): Promise<Verified> {
  const schemas = `{${expected.schemas.map((schema) => `"${schema}"`).join(',')}}`;
  const roles = [...new Set([expected.role, expected.user])];
  const questions = roles.map((role) => [schemas, role]);
  const outcome = await execute(talk, QUERY, questions);
  if (outcome.error) throw unverified(describeRefusal(outcome.error));
  if (outcome.rows.length !== roles.length) throw unverified('the answer has not one row for each question');
  for (const [endpoint, role] of roles.entries()) checkRow(expected, role, outcome.rows[endpoint]);
  const [row = []] = outcome.rows;
  const defaults = defaultsIn(row.slice(VERIFIED));
  return { unresettable: isUnresettable(row, VERIFIED - 1), defaults };
}

function checkRow(expected: Expectation, role: string, row: TextRow | undefined): void {
  if (row?.length !== VERIFIED + DEFAULTS_WIDTH) throw unverified('the answer has another number of columns');
  const [sessionUser, currentUser, privileged, missing] = row;
  checkIdentity(expected, sessionUser, currentUser);
  if (privileged != null && !expected.privilegedRoles.includes(role)) throw tooMighty(role, privileged);
  if (missing != null) throw new GatewayError('invalid_schema_name', `schema "${missing}" does not exist`);
}

type Column = string | null | undefined;

function checkIdentity({ role, user }: Expectation, sessionUser: Column, currentUser: Column): void {
  if (sessionUser === user && currentUser === role) return;
  const cause = new Error(
    `logged in as "${user}" for "${role}", but session_user is ${sessionUser}, current_user ${currentUser}`,
  );
  throw new GatewayError('invalid_authorization_specification', 'the login does not have the mapped role', {
    cause,
  });
}

/** The one refusal for roles that the config does not list as privileged. */
export function tooMighty(role: string, privileged: string): GatewayError {
  const why = role === privileged ? 'is privileged' : `can become "${privileged}", which is privileged`;
  const cause = new Error(`role "${role}" ${why}: take that away, or list the role in privilegedRoles`);
  return new GatewayError('insufficient_privilege', `role "${role}" may not be used through the gateway`, {
    cause,
  });
}

function unverified(why: string): GatewayError {
  return unreachable(new Error(`the login could not be verified: ${why}`));
}

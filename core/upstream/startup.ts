/** The startup packet for the server: built field by field, never a copy of the client's. */
import { GatewayError } from '../contract/errors.ts';
import type { RoleName, SchemaName } from '../contract/names.ts';
import type { Startup, Upstream } from '../contract/session.ts';

/** The contents of the startup packet. */
export interface StartupRequest {
  readonly role: RoleName;
  /** The user of the login: the role itself, or the one that becomes it by `set-role`. */
  readonly user: string;
  readonly upstream: Upstream;
  readonly startup: Startup;
  /** The client's `replication` parameter as it was given. */
  readonly replication?: string | undefined;
  /** `replication` of the database entry. Default false. */
  readonly replicationAllowed?: boolean | undefined;
  /** Transactions are read-only until a client sets that back, whatever the server is or becomes. Default false. */
  readonly readOnly?: boolean | undefined;
}

/** Names of connection parameters, which no plugin or client sets as a run-time parameter. */
export const RESERVED = /^(user|database|options|replication|role|session_authorization|_pq_\..*)$/i;

/**
 * Whether the client's `replication` parameter asks for a replication connection: PostgreSQL's boolean grammar
 * (`parse_bool_with_len`: unique prefixes) or `database`.
 * @throws GatewayError `invalid_parameter_value` for anything else, as PostgreSQL does
 */
export function asksForReplication(value: string | undefined): boolean {
  if (value === undefined || /^(f|fa|fal|fals|false|n|no|of|off|0)$/i.test(value)) return false;
  if (/^(t|tr|tru|true|y|ye|yes|on|1|database)$/i.test(value)) return true;
  throw new GatewayError('invalid_parameter_value', 'invalid value for parameter "replication"', {
    hint: 'Valid values are: "false", 0, "true", 1, "database".',
  });
}

/** A search_path that PostgreSQL reads back as exactly these schemas. */
function searchPath(schemas: readonly SchemaName[]): string {
  return schemas.map((schema) => `"${schema.replaceAll('"', '""')}"`).join(', ');
}

/** Later wins, and names are compared as PostgreSQL does, so that the packet never holds a parameter twice. */
class Parameters {
  readonly #byName = new Map<string, [string, string]>();

  set(name: string, value: string): void {
    if (name === '' || name.includes('\0') || value.includes('\0')) {
      throw new Error(`startup parameter ${JSON.stringify(name)} is empty or holds a NUL`);
    }
    this.#byName.set(name.toLowerCase(), [name, value]);
  }

  setAll(parameters: Readonly<Record<string, string>>): void {
    for (const [name, value] of Object.entries(parameters)) {
      if (RESERVED.test(name)) throw new Error(`"${name}" cannot be set as a run-time parameter`);
      this.set(name, value);
    }
  }

  list(): readonly (readonly [string, string])[] {
    return [...this.#byName.values()];
  }
}

/**
 * In force before any setting of a session, and again after RESET and DISCARD: in a deferrable transaction a reset may wait for
 * others; without standard strings a backslash in a literal is an escape.
 */
const PINNED = { default_transaction_deferrable: 'off', standard_conforming_strings: 'on' };

/**
 * The parameters of the startup packet, each once: the user, the database, then pinned settings. Pinned values beat
 * `ALTER ROLE … SET`, and RESET and DISCARD return to them; `role` is pinned, to `none` where the user is the role,
 * because every role may change its own default of it. Time-outs and search_path are pinned where a plugin does so: else
 * the administrator's values for the role or the database stay in force. The client's settings are not here but
 * set at each check-out, because its connection serves other sessions afterwards; except for replication, which has no
 * check-out.
 * @throws GatewayError `feature_not_supported` for replication where the entry does not allow it
 * @throws Error for a reserved or malformed parameter: a plugin's mistake
 */
export function startupParameters(request: StartupRequest): readonly (readonly [string, string])[] {
  const { upstream, startup, replication } = request;
  const replicating = asksForReplication(replication);
  const parameters = new Parameters();
  parameters.set('user', request.user);
  parameters.set('database', upstream.database);
  parameters.set('client_encoding', 'UTF8');
  if (replicating) parameters.setAll(startup.parameters);
  parameters.setAll(upstream.settings);
  for (const [name, value] of Object.entries(PINNED)) {
    // No reset waits for a replication connection, and no other session has it.
    if (!(replicating && Object.hasOwn(startup.parameters, name))) parameters.set(name, value);
  }
  if (request.readOnly === true) parameters.set('default_transaction_read_only', 'on');
  if (upstream.schemas.length > 0) parameters.set('search_path', searchPath(upstream.schemas));
  parameters.set('role', request.user === request.role ? 'none' : request.role);
  if (replicating) parameters.set('replication', allowed(request));
  return parameters.list();
}

function allowed({ replication = '', replicationAllowed }: StartupRequest): string {
  if (replicationAllowed === true) return replication;
  throw new GatewayError(
    'feature_not_supported',
    'replication connections are not supported for this database',
  );
}

/** A client's StartupMessage by kind of parameter. Run-time parameters are not sent to a server in its startup packet: each check-out sets them. */
import { GatewayError } from '../contract/errors.ts';
import type { ParameterPairs } from './greeting.ts';
import { parseOptions } from './options.ts';
import { hasControlCharacters, shown } from './text.ts';

/** A StartupMessage. Records have no prototype. */
export interface AcceptedStartup {
  readonly user: string;
  /** `user` if the client named none, as PostgreSQL does. */
  readonly database: string;
  /** Run-time parameters under {@link parameterName}, those in `options` included; values as given. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Parameters `postern.…`, for the gateway itself: names in lower case, as given directly or in `options`. */
  readonly gatewayOptions: Readonly<Record<string, string>>;
  /** `'true'` or `'database'` for a replication connection, however it was spelled. */
  readonly replication: 'true' | 'database' | undefined;
  /** Names that start with `_pq_.`, in the order given: see `negotiateVersion`. */
  readonly protocolOptions: readonly string[];
}

/** NAMEDATALEN - 1 in bytes: the server truncates beyond it, so two longer names could meet. */
const LONGEST_NAME = 63;

const GATEWAY_PREFIX = 'postern.';
const PROTOCOL_PREFIX = '_pq_.';
/** Parameters of the startup packet itself, which are no run-time parameters. */
const RESERVED: readonly string[] = ['user', 'database', 'replication', 'options'];
const IDENTITY: readonly string[] = ['role', 'session_authorization'];

/** The spelling of PostgreSQL where that is not in lower case. */
const canonical = new Map(
  ['DateStyle', 'IntervalStyle', 'TimeZone'].map((name) => [name.toLowerCase(), name]),
);

/** `valid_custom_variable_name`, ASCII only: a name is sent in the encoding of a connection that may not be UTF-8. */
const NAME = /^[a-z_][a-z0-9_$]*(?:\.[a-z_][a-z0-9_$]*)*$/;

/** A run-time parameter's name as PostgreSQL writes it, whatever its case; undefined for a name that no client may send. */
export function parameterName(name: string): string | undefined {
  return nameOf(folded(name));
}

function nameOf(key: string): string | undefined {
  const unfit = !NAME.test(key) || key.startsWith(PROTOCOL_PREFIX) || key.startsWith(GATEWAY_PREFIX);
  if (unfit || RESERVED.includes(key) || IDENTITY.includes(key)) return undefined;
  return canonical.get(key) ?? key;
}

/**
 * Reads a StartupMessage. Names count without regard to case, as on the server, except `user`, `database`, `options` and
 * `replication`. Of several values for one parameter the last counts, and a direct one more than one in `options`, as in PostgreSQL.
 * No error repeats a value.
 * @throws GatewayError `protocol_violation` for `role`, `session_authorization` and what is no name of a parameter (PgBouncer's code
 * and words), and for `user`, `database`, `options` or `replication` given twice; `invalid_authorization_specification` for a user name and
 * `invalid_catalog_name` for a database name that is missing, longer than 63 bytes or has control characters;
 * `invalid_parameter_value` for `replication` that is neither a boolean nor `database`; and as `parseOptions` does
 */
export function acceptParameters(pairs: ParameterPairs): AcceptedStartup {
  const reserved = new Map<string, string>();
  const protocolOptions: string[] = [];
  const direct: [name: string, value: string][] = [];
  for (const [name, value] of pairs) {
    if (name.startsWith(PROTOCOL_PREFIX)) protocolOptions.push(name);
    else if (!RESERVED.includes(name)) direct.push([name, value]);
    else if (reserved.has(name)) throw twice(name);
    else reserved.set(name, value);
  }
  const accepted = { parameters: bare(), gatewayOptions: bare() };
  for (const { name, value } of parseOptions(reserved.get('options') ?? '')) {
    accept(accepted, name, value, ' in options');
  }
  for (const [name, value] of direct) accept(accepted, name, value, '');
  return {
    parameters: orNone(accepted.parameters),
    gatewayOptions: orNone(accepted.gatewayOptions),
    ...identity(reserved),
    replication: replication(reserved.get('replication')),
    protocolOptions,
  };
}

function bare(): Record<string, string> {
  return Object.create(null) as Record<string, string>;
}

/** Most clients send none: their sessions share one empty record. */
const NONE: Readonly<Record<string, string>> = Object.freeze(bare());

function orNone(record: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.keys(record).length === 0 ? NONE : record;
}

function twice(name: string): GatewayError {
  return new GatewayError('protocol_violation', `startup parameter ${shown(name)} is given twice`);
}

/** Folds ASCII letters only, as `guc_name_compare` does: a Kelvin sign is no k. */
function folded(name: string): string {
  return /[A-Z]/.test(name) ? name.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : name;
}

function accept(
  into: Record<'parameters' | 'gatewayOptions', Record<string, string>>,
  name: string,
  value: string,
  where: string,
): void {
  const key = folded(name);
  if (key.startsWith(GATEWAY_PREFIX)) {
    into.gatewayOptions[key] = value;
    return;
  }
  const known = nameOf(key);
  if (known === undefined) throw unsupported(name, where);
  into.parameters[known] = value;
}

function unsupported(name: string, where: string): GatewayError {
  const hint = IDENTITY.includes(folded(name)) ? { hint: 'The role of a session comes from its token.' } : {};
  return new GatewayError(
    'protocol_violation',
    `unsupported startup parameter${where}: ${shown(name)}`,
    hint,
  );
}

function identity(reserved: ReadonlyMap<string, string>): { user: string; database: string } {
  const user = reserved.get('user') ?? '';
  if (user === '') {
    const text = 'no PostgreSQL user name specified in startup packet';
    throw new GatewayError('invalid_authorization_specification', text);
  }
  if (!isName(user)) {
    const text = 'invalid user name in startup packet';
    throw new GatewayError('invalid_authorization_specification', text, hintFor(user, USER_HINT));
  }
  const database = reserved.get('database') ?? '';
  if (database === '') return { user, database: user };
  if (!isName(database)) {
    const text = 'invalid database name in startup packet';
    throw new GatewayError('invalid_catalog_name', text, hintFor(database, DATABASE_HINT));
  }
  return { user, database };
}

/** A subject may be longer than any role. */
const USER_HINT = 'Connect as user _ to get the role that the token names.';
const DATABASE_HINT = 'PostgreSQL knows it by its first 63 bytes.';

/** Only where the name is too long: for other names there is no better one. */
function hintFor(name: string, hint: string): { readonly hint?: string } {
  return isTooLong(name) ? { hint: `Names have at most ${LONGEST_NAME} bytes. ${hint}` } : {};
}

function isTooLong(name: string): boolean {
  return Buffer.byteLength(name) > LONGEST_NAME;
}

function isName(text: string): boolean {
  return !isTooLong(text) && !hasControlCharacters(text);
}

/** `parse_bool` takes every unique prefix of these words, in any case; `database` must be exact. */
const TRUE = /^(?:t|tr|tru|true|y|ye|yes|on|1)$/i;
const FALSE = /^(?:f|fa|fal|fals|false|n|no|of|off|0)$/i;

function replication(value: string | undefined): 'true' | 'database' | undefined {
  if (value === undefined || FALSE.test(value)) return undefined;
  if (value === 'database') return 'database';
  if (TRUE.test(value)) return 'true';
  throw new GatewayError('invalid_parameter_value', 'invalid value for parameter "replication"', {
    hint: 'Valid values are: "false", 0, "true", 1, "database".',
  });
}

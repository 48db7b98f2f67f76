/** What of a client's StartupMessage the gateway accepts; nothing else ever reaches a server. */
import { GatewayError } from '../errors.ts';
import type { ParameterPairs } from './greeting.ts';
import { parseOptions } from './options.ts';
import { hasControlCharacters, shown } from './text.ts';

/** A StartupMessage reduced to the allow-list. Records have no prototype. */
export interface AcceptedStartup {
  readonly user: string;
  /** `user` if the client named none, as PostgreSQL does. */
  readonly database: string;
  /** Allowed run-time parameters under their canonical names, those in `options` included; values as given. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Parameters `postern.…`, for the gateway itself: names in lower case, as given directly or in `options`. */
  readonly gatewayOptions: Readonly<Record<string, string>>;
  /** `'true'` or `'database'` for a replication connection, however it was spelled. */
  readonly replication: 'true' | 'database' | undefined;
  /** Names that start with `_pq_.`, in the order given: see `negotiateVersion`. */
  readonly protocolOptions: readonly string[];
}

/** Run-time parameters a client may set at startup. Each can be set by any client later anyway. */
export const ALLOWED_PARAMETERS = [
  'application_name',
  'client_encoding',
  'DateStyle',
  'TimeZone',
  'IntervalStyle',
  'extra_float_digits',
] as const;

/** NAMEDATALEN - 1 in bytes: the server truncates beyond it, so two longer names could meet. */
const LONGEST_NAME = 63;

const GATEWAY_PREFIX = 'postern.';
const PROTOCOL_PREFIX = '_pq_.';
const RESERVED: readonly string[] = ['user', 'database', 'replication', 'options'];

const canonical = new Map<string, string>(ALLOWED_PARAMETERS.map((name) => [name.toLowerCase(), name]));

/**
 * Reduces a StartupMessage to the allow-list. Names count without regard to case, as on the server, except `user`,
 * `database`, `options` and `replication`. No error repeats a value.
 * @throws GatewayError `protocol_violation` for a parameter that is not allowed (PgBouncer's code and words) or
 * given twice, directly or in `options`; `invalid_authorization_specification` for a user name and
 * `invalid_catalog_name` for a database name that is missing, longer than 63 bytes or has control characters;
 * `invalid_parameter_value` for `replication` that is neither a boolean nor `database`; and as `parseOptions` does
 */
export function acceptParameters(pairs: ParameterPairs): AcceptedStartup {
  const seen = new Set<string>();
  const reserved = new Map<string, string>();
  const protocolOptions: string[] = [];
  const accepted = { parameters: bare(), gatewayOptions: bare() };
  for (const [name, value] of pairs) {
    if (name.startsWith(PROTOCOL_PREFIX)) protocolOptions.push(name);
    else if (RESERVED.includes(name)) reserved.set(once(seen, name), value);
    else accept(accepted, seen, name, value, '');
  }
  for (const { name, value } of parseOptions(reserved.get('options') ?? '')) {
    accept(accepted, seen, name, value, ' in options');
  }
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

function once(seen: Set<string>, name: string): string {
  if (seen.has(name))
    throw new GatewayError('protocol_violation', `startup parameter ${shown(name)} is given twice`);
  seen.add(name);
  return name;
}

/** Folds ASCII letters only, as `guc_name_compare` does: a Kelvin sign is no k. */
function folded(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function accept(
  into: Record<'parameters' | 'gatewayOptions', Record<string, string>>,
  seen: Set<string>,
  name: string,
  value: string,
  where: string,
): void {
  const key = folded(name);
  const known = canonical.get(key);
  if (known !== undefined) into.parameters[once(seen, known)] = value;
  else if (key.startsWith(GATEWAY_PREFIX)) into.gatewayOptions[once(seen, key)] = value;
  else {
    throw new GatewayError('protocol_violation', `unsupported startup parameter${where}: ${shown(name)}`, {
      hint: `The gateway accepts ${ALLOWED_PARAMETERS.join(', ')}; set others with SET after login.`,
    });
  }
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

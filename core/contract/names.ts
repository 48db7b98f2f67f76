/** Names that end up inside SQL or a startup packet: only these parsers make them. */
import { GatewayError } from './errors.ts';

declare const brand: unique symbol;
type Brand<B extends string> = string & { readonly [brand]: B };

/** A database role that may be put into a startup packet. Made by {@link parseRole}. */
export type RoleName = Brand<'role'>;
/** A schema name without quoting. Made by {@link parseSchema}. */
export type SchemaName = Brand<'schema'>;
/** A database name of the server behind the gateway. Made by {@link parseDatabase}. */
export type DatabaseName = Brand<'database'>;
/** A tenant's name: lower-case ASCII. Made by {@link parseTenant}. */
export type TenantName = Brand<'tenant'>;

/** NAMEDATALEN - 1 (manual, 4.1.1): PostgreSQL truncates beyond it, so two longer names could meet. */
const LONGEST_NAME = 63;

function parseName<B extends string>(kind: B, shape: RegExp, text: string): Brand<B> {
  if (text.length > LONGEST_NAME || !shape.test(text)) {
    throw new GatewayError('invalid_authorization_specification', `not a valid ${kind} name`, {
      hint: `1 to ${LONGEST_NAME} characters that match ${shape.source}`,
    });
  }
  return text as Brand<B>;
}

/** Printable ASCII only: no confusables, no control characters, nothing that needs case folding to compare. */
const PLAIN = /^[A-Za-z0-9_][A-Za-z0-9_$.@+-]*$/;

/**
 * Checks a role name: 1 to 63 ASCII characters, never `none`, `public` or `pg_…`.
 *
 * @throws GatewayError `invalid_authorization_specification`
 * @example const role = parseRole('reader');
 */
export function parseRole(text: string): RoleName {
  if (/^(pg_.*|none|public)$/i.test(text)) {
    throw new GatewayError('invalid_authorization_specification', `role name "${text}" is reserved`);
  }
  return parseName('role', PLAIN, text);
}

/**
 * Checks a schema name: 1 to 63 of `a-z 0-9 _`, not starting with a digit.
 *
 * @throws GatewayError
 * @example const schema = parseSchema('tenant_acme');
 */
export const parseSchema = (text: string): SchemaName => parseName('schema', /^[a-z_][a-z0-9_]*$/, text);

/** Control characters forge lines of logs; half a surrogate pair cannot be sent, and two such names would meet. */
const UNFIT = /[\p{Cc}\p{Cs}]/u;

/**
 * Checks a database name: 1 to 63 bytes of UTF-8 without control characters, and not `*`, which in a config stands for all
 * others. Nothing is folded or normalised: PostgreSQL compares bytes.
 *
 * @throws GatewayError `invalid_authorization_specification`
 * @example const database = parseDatabase('orders');
 */
export function parseDatabase(text: string): DatabaseName {
  const bytes = Buffer.byteLength(text);
  if (bytes > 0 && bytes <= LONGEST_NAME && text !== '*' && !UNFIT.test(text)) return text as DatabaseName;
  throw new GatewayError('invalid_authorization_specification', 'not a valid database name', {
    hint: `1 to ${LONGEST_NAME} bytes of UTF-8 without control characters, and not *`,
  });
}

/**
 * Checks a tenant name: 1 to 63 of `a-z 0-9 _ -`, not starting with a sign.
 *
 * @throws GatewayError
 * @example const tenant = parseTenant('acme');
 */
export const parseTenant = (text: string): TenantName => parseName('tenant', /^[a-z0-9][a-z0-9_-]*$/, text);

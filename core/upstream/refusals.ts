/** The errors of a client that gets no server connection; the real reason is their `cause`. */
import { GatewayError, SQLSTATES } from '../contract/errors.ts';
import type { Condition } from '../contract/errors.ts';
import type { ServerError } from '../wire/backend.ts';

/** The fields of a server's ErrorResponse that are read (manual, 55.8). */
export interface ServerRefusal {
  /** SQLSTATE, if the server sent one. */
  readonly code?: string | undefined;
  readonly message?: string | undefined;
}

/** Refusals that concern the request or a temporary condition, and not the gateway's secrets: the client reads them. */
const PASSED: ReadonlySet<Condition> = new Set<Condition>([
  'too_many_connections',
  'cannot_connect_now',
  'invalid_catalog_name',
  'insufficient_privilege',
  'invalid_schema_name',
  'invalid_parameter_value',
  'admin_shutdown',
  'crash_shutdown',
]);

const CONDITIONS = new Map<string, Condition>(
  Object.entries(SQLSTATES).map(([condition, sqlstate]) => [sqlstate, condition as Condition]),
);

/** No connection, or it was lost before it was ready: 08001 with one text, so that no host name reaches a client. */
export function unreachable(cause: unknown): GatewayError {
  return new GatewayError(
    'sqlclient_unable_to_establish_sqlconnection',
    'could not connect to the database',
    { cause },
  );
}

/** The gateway's own login failed: 08004 with one text. */
export function loginRefused(cause: unknown): GatewayError {
  return new GatewayError(
    'sqlserver_rejected_establishment_of_sqlconnection',
    "the database refused the gateway's login",
    { cause },
  );
}

class NoCredentials extends Error {}

/** The source of the password or certificate failed, or gave none: 08004 too, but no server has refused anything. */
export function credentialsMissing(why: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'sqlserver_rejected_establishment_of_sqlconnection',
    'the gateway could not get its credentials for the database',
    { cause: new NoCredentials(why, cause === undefined ? {} : { cause }) },
  );
}

/** The reason for the operator, if an error is of {@link credentialsMissing}. */
export function whyNoCredentials(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (!(error instanceof NoCredentials)) return whyNoCredentials(error.cause);
  return error.cause === undefined ? error.message : `${error.message}: ${innermost(error.cause)}`;
}

/** The TLS alerts that say no to the certificate shown (RFC 8446 §6.2), as Node names OpenSSL's. */
const CERTIFICATE_REFUSED =
  /^ERR_SSL_[A-Z0-9]+_ALERT_(UNKNOWN_CA|(BAD|UNSUPPORTED)_CERTIFICATE|CERTIFICATE_[A-Z]+|ACCESS_DENIED)$/;

/** Says whether some cause of an error is a server's refusal of the gateway's certificate. */
export function certificateRefused(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return CERTIFICATE_REFUSED.test(code) || certificateRefused(error.cause);
}

/** Puts a server's ErrorResponse into one line for the operator's log. */
export function describeRefusal(error: ServerRefusal): string {
  return `the server said ${error.code || 'no SQLSTATE'}: ${(error.message || 'no message').slice(0, 1000)}`;
}

class ServerSaid extends Error {
  readonly sqlstate: string;

  constructor(error: ServerRefusal) {
    super(describeRefusal(error));
    this.sqlstate = error.code ?? '';
  }
}

/** Says whether the server refused the gateway's login: class 28 or a certificate, errors that do not end by themselves. */
export function identityRefused(error: unknown): boolean {
  if (error instanceof ServerSaid) return error.sqlstate.startsWith('28');
  return error instanceof Error && (certificateRefused(error) || identityRefused(error.cause));
}

/** Translates a server's ErrorResponse at login: code and message pass where they concern the client, else 08004. */
export function refusedByServer(error: ServerRefusal): GatewayError {
  const cause = new ServerSaid(error);
  const condition = CONDITIONS.get(error.code ?? '');
  if (condition === undefined || !PASSED.has(condition)) return loginRefused(cause);
  return new GatewayError(
    condition,
    (error.message || 'the database refused the connection').slice(0, 1000),
    { cause },
  );
}

/** The SQLSTATEs of a parameter's name or value that the server refuses: of a value, of its use now, of a name or a privilege. */
const OF_PARAMETER = /^(?:22|25|0A|42|55P02)/;

/** The server's refusal of a client's startup parameter, as at a login of the client's own. */
export function parameterRefused(error: ServerError): GatewayError {
  if (!OF_PARAMETER.test(error.code)) return refusedByServer(error);
  const { code, message, detail, hint } = error;
  return new GatewayError(CONDITIONS.get(code) ?? 'invalid_parameter_value', message.slice(0, 1000), {
    ...(detail !== undefined && { detail }),
    ...(hint !== undefined && { hint }),
  });
}

/** The message of the innermost cause, for the operator. */
export function innermost(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return error.cause === undefined ? error.message : innermost(error.cause);
}

/** The one error that may reach a client, and the one table that gives it its SQLSTATE. */

/**
 * PostgreSQL's condition names with their SQLSTATE (manual, Appendix A "PostgreSQL Error Codes").
 * The key is what a plugin writes, the value is what the client reads.
 *
 * @example const sqlstate = SQLSTATES.insufficient_privilege; // '42501'
 */
export const SQLSTATES = {
  sqlclient_unable_to_establish_sqlconnection: '08001',
  sqlserver_rejected_establishment_of_sqlconnection: '08004',
  connection_failure: '08006',
  protocol_violation: '08P01',
  feature_not_supported: '0A000',
  invalid_parameter_value: '22023',
  read_only_sql_transaction: '25006',
  active_sql_transaction: '25001',
  no_active_sql_transaction: '25P01',
  in_failed_sql_transaction: '25P02',
  idle_in_transaction_session_timeout: '25P03',
  transaction_timeout: '25P04',
  invalid_authorization_specification: '28000',
  invalid_password: '28P01',
  invalid_savepoint_specification: '3B001',
  invalid_catalog_name: '3D000',
  invalid_schema_name: '3F000',
  syntax_error: '42601',
  invalid_name: '42602',
  invalid_sql_statement_name: '26000',
  duplicate_prepared_statement: '42P05',
  insufficient_privilege: '42501',
  undefined_object: '42704',
  too_many_connections: '53300',
  configuration_limit_exceeded: '53400',
  program_limit_exceeded: '54000',
  object_not_in_prerequisite_state: '55000',
  cant_change_runtime_param: '55P02',
  query_canceled: '57014',
  admin_shutdown: '57P01',
  crash_shutdown: '57P02',
  cannot_connect_now: '57P03',
  idle_session_timeout: '57P05',
  system_error: '58000',
  config_file_error: 'F0000',
  internal_error: 'XX000',
} as const;

/** A condition name of PostgreSQL's manual, Appendix A, for instance `'insufficient_privilege'`. */
export type Condition = keyof typeof SQLSTATES;

/** What a {@link GatewayError} may carry besides its message. */
export interface ErrorDetails {
  /** The client's DETAIL field: what went wrong with this very request. */
  readonly detail?: string;
  /** The client's HINT field: what to do about it. */
  readonly hint?: string;
  /** The client's ROUTINE field: the function of PostgreSQL that reports this error. Some drivers read it. Default: none. */
  readonly routine?: string;
  /** For the operator's log only; never sent to a client. */
  readonly cause?: unknown;
}

/**
 * Refuses a client: thrown by hooks, checks and the core, sent as an ErrorResponse.
 * Its severity follows the phase: FATAL before the first ReadyForQuery and in `session.end()`, ERROR in `onQuery`.
 *
 * @example
 * throw new GatewayError('insufficient_privilege', 'schema changes go through migrations', {
 *   hint: 'Put it into a migration.',
 * });
 */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  /** PostgreSQL's condition name. */
  readonly code: Condition;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly routine: string | undefined;

  constructor(code: Condition, message: string, more: ErrorDetails = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.detail = more.detail;
    this.hint = more.hint;
    this.routine = more.routine;
  }

  /** The five characters a client sees (manual, Appendix A). */
  get sqlstate(): string {
    return SQLSTATES[this.code];
  }
}

/** Ends a login whose client only asks where to get a token: refused by the protocol, and no failure of a hook that passes it on. */
export class DiscoveryRequest extends GatewayError {}

/**
 * A mistake of the operator (config, plugin list, files): stops the boot, its message is printed as it is.
 *
 * @example throw new ConfigError('officeHours.from: must be before to, is 18');
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

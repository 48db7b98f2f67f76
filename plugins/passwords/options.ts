/** What `passwords()` may be told. A reload applies it to new sessions. */
import type { Secret } from '../../core/index.ts';

/** A day such as `2027-06-30`, to its end in UTC, or a moment such as `2027-06-30T18:00:00Z`. */
export type Until = string;

/** Passwords that a database keeps: a function of yours is asked for the verifier of a user. */
export interface PasswordQueryOptions {
  /**
   * The entry of `databases` whose function is asked.
   *
   * @example database: 'orders'
   */
  readonly database: string;
  /**
   * The role that calls the function and may do nothing else; the entry's `login` has its credentials. A superuser or the like is refused.
   *
   * @example role: 'password_reader'
   */
  readonly role: string;
  /**
   * The function's schema and name, each of `a-z 0-9 _`. `postern sql passwords` prints it.
   *
   * @defaultValue `'postern.password_of'`
   * @example function: 'auth.verifier_of'
   */
  readonly function?: string;
  /**
   * The iteration count that unknown users are told, as `scram_iterations` of the server.
   *
   * @defaultValue `4096`
   * @example iterations: 10_000
   */
  readonly iterations?: number;
}

/** What holds for one user. */
export interface PasswordUser {
  /**
   * In place of `until` for this user.
   *
   * @example until: '2027-12-31'
   */
  readonly until: Until;
}

/**
 * Options of the `passwords` plugin: `file` or `query`.
 *
 * @reload new sessions
 */
export interface PasswordsOptions {
  /**
   * PgBouncer's `userlist.txt` as it is, relative to the config: verifiers, or passwords, of which the gateway makes verifiers in memory. Only the gateway's
   * user and group may read it (0640, 0600). Read again when it changes.
   *
   * @defaultValue none: `query` says the verifiers
   * @example file: '/etc/pgbouncer/userlist.txt'
   */
  readonly file?: string;
  /**
   * Instead of `file`: a function of a database is asked for the verifier of a user.
   *
   * @defaultValue none: `file` has the verifiers
   * @example query: { database: 'orders', role: 'password_reader' }
   */
  readonly query?: PasswordQueryOptions;
  /**
   * A name of `a-z 0-9 _ . -` that tells the users of several lists apart (RFC 7235 §2.2): their identities have the issuer `password:<realm>`.
   *
   * @defaultValue none: the issuer is `password:`
   * @example realm: 'legacy'
   */
  readonly realm?: string;
  /**
   * The last day, to its end in UTC, or the moment at which passwords are good. Then logins are refused (28000) and sessions end (57P01).
   *
   * @defaultValue none: passwords do not expire
   * @example until: '2027-06-30'
   */
  readonly until?: Until;
  /**
   * Exceptions by user.
   *
   * @defaultValue none
   * @example users: { billing: { until: '2027-12-31' } }
   */
  readonly users?: Readonly<Record<string, PasswordUser>>;
  /**
   * At least 32 bytes, the same in all gateways behind one address: it makes the salts of unknown users and of passwords in plain text. With different
   * secrets two gateways show which users exist.
   *
   * @defaultValue a random one of the process
   * @example secret: file('passwords.secret')
   */
  readonly secret?: Secret;
}

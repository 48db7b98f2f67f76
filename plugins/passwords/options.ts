/** What `passwords()` may be told. A reload applies it to new sessions. */
import type { Secret } from '../../core/index.ts';

/** A day such as `2027-06-30`, to its end in UTC, or a moment such as `2027-06-30T18:00:00Z`. */
export type Until = string;

/** Passwords that a database keeps: a function of yours is asked for the verifier of a user. */
export interface PasswordQueryOptions {
  /** The key of `databases` in which the function is. */
  readonly database: string;
  /** The role that may call the function and nothing else; the entry's `login` has its credentials. A superuser is refused. */
  readonly role: string;
  /** Schema and name, each of `a-z 0-9 _`. Default `'postern.password_of'`: `postern sql passwords` prints it. */
  readonly function?: string;
  /** What users that there are not are told, as `scram_iterations` of the server. Default 4096. */
  readonly iterations?: number;
}

/** What holds for one user. */
export interface PasswordUser {
  /** In place of the `until` of all. */
  readonly until: Until;
}

/** Options of the `passwords` plugin: `file` or `query`. */
export interface PasswordsOptions {
  /** PgBouncer's `userlist.txt`, relative to the config file; read again when it changes. Default: `query` has them. */
  readonly file?: string;
  /** Default: `file` has them. */
  readonly query?: PasswordQueryOptions;
  /**
   * Tells the users of several lists apart (RFC 7235 §2.2): `a-z 0-9 _ . -`. Their identities have the issuer `password:REALM`.
   * Default: none, and the issuer is `password:`.
   */
  readonly realm?: string;
  /** When passwords are good no longer: logins are refused then, and sessions end. Default: never. */
  readonly until?: Until;
  /** By user. Default: the same for all. */
  readonly users?: Readonly<Record<string, PasswordUser>>;
  /**
   * At least 32 bytes: what users that there are not look like, and those whose password the file has in plain text. The same for all
   * gateways behind one address, or two of them tell a user that there is not from others. Default: each process has its own.
   */
  readonly secret?: Secret;
}

/** Where passwords come from: a file or a database. */
import type { MaybePromise, ScramVerifier } from '../../core/index.ts';

/** The password of a user as its source has it. */
export interface KnownPassword {
  readonly verifier: ScramVerifier;
  /** When it is good no longer. Default: never. */
  readonly until?: Date | undefined;
}

/** A source that is open. */
export interface PasswordSource {
  /** What most users have: those that there are not have it as well. */
  readonly iterations: number;
  /** Undefined for a user that there is not, or that has no password. @throws GatewayError where the source cannot be asked */
  find(user: string): MaybePromise<KnownPassword | undefined>;
}

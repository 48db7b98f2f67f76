/** The limits of a plugin. */
import type { Credential } from './credential.ts';

/** Which sessions a plugin sees; decided per session before its first hook. */
export interface Scope {
  /** Names of listeners; absent: all. */
  readonly listeners?: readonly string[];
  /** Names of databases as clients use them; absent: all. */
  readonly databases?: readonly string[];
  /** Credentials that clients are asked for; absent: all. */
  readonly credentials?: readonly Credential[];
}

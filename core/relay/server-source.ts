/** Where a session in transaction mode gets its server connections from. */
import type { Parameters, ServerConnection, SessionDefaults } from '../upstream/connection.ts';
import type { KnownStatements } from './prepared/known-statements.ts';
import type { TouchedSettings } from './settings/touched-settings.ts';
import type { ServerFitness } from './transaction-boundary.ts';

/** Called once when a wait for a server connection ends, in the stack of the caller that ends it. */
export interface ServerWaiter {
  /** All settings of the session are in force on the connection. */
  granted(server: ServerConnection): void;
  /** `error` is for the client. */
  refused(error: unknown): void;
}

/** Gives server connections to one session, transaction by transaction. */
export interface ServerSource {
  /** The run-time parameters that the client believes to be in force, kept up to date by the relay. */
  readonly parameters: Parameters;
  /** Statements that a connection of the pool has prepared without an error: their Parse needs no connection. */
  readonly known: KnownStatements;
  /** A connection with all settings of the session in force; undefined: `waiter` is called later, unless it cancels. */
  checkOut(waiter: ServerWaiter): ServerConnection | undefined;
  /** Ends the session's wait: the waiter is not called after this. Default reason: the session has ended. */
  cancel(reason?: Error): void;
  checkIn(server: ServerConnection, how: ServerFitness): void;
  /** Called once when the connection has to stay with the session. */
  readonly pinned?: ((why: string) => void) | undefined;
  /**
   * The state that ties the session to an idle connection, for the log; undefined if there is none. Rejects if the connection is
   * lost. Absent: it is not checked.
   */
  readonly probe?: ((server: ServerConnection) => Promise<string | undefined>) | undefined;
  /**
   * Settings of the session have changed on its idle connection: takes their values over, and resolves as {@link probe}. Undefined:
   * the server need not be asked. Absent: settings do not follow the session.
   */
  settle?(server: ServerConnection, touched: TouchedSettings): Promise<string | undefined> | undefined;
  /** Settings that no text shows keep the connection with the session. Default: they are reset. */
  readonly pinsUnknown?: boolean;
  /**
   * Why functions that statements with these texts may run keep the idle connection with the session; undefined if they do not. Absent:
   * they never do. Rejects as {@link probe}.
   */
  unseen?(
    server: ServerConnection,
    texts: ReadonlySet<string>,
  ): Promise<string | undefined> | string | undefined;
  /** The value of a setting, named in lower case, with which this or the next transaction begins; null or absent: that of a login. Undefined: not known. */
  settingOf?(name: string): string | null | undefined;
  /** The defaults in force on the connection that the session has, or had last. Undefined: not known. */
  readonly defaults?: SessionDefaults | undefined;
}

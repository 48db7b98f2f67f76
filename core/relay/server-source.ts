/** Where the link of a session gets server connections, and what it reports. */
import type { Parameters, ServerConnection } from '../upstream/connection.ts';
import { parameterStatus } from '../wire/to-client.ts';
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
  /** Keys of statements that a connection of the pool has prepared without an error: their Parse needs no connection. */
  readonly known: { has(key: string): boolean; add(key: string): unknown };
  /** A connection with all settings of the session in force; undefined: `waiter` is called later, unless it cancels. */
  checkOut(waiter: ServerWaiter): ServerConnection | undefined;
  /** Ends the session's wait: the waiter is not called after this. Default reason: the session has ended. */
  cancel(reason?: Error): void;
  checkIn(server: ServerConnection, how: ServerFitness): void;
  /** Called once when the connection has to stay with the session. */
  readonly pinned?: ((server: ServerConnection | undefined, why: string) => void) | undefined;
  /**
   * The state that ties the session to an idle connection, for the log; undefined if there is none. Rejects if the connection is
   * lost. Absent: it is not checked.
   */
  readonly probe?: ((server: ServerConnection) => Promise<string | undefined>) | undefined;
}

/** What the link reports to the relay. */
export interface LinkHost {
  /** Another connection is linked. */
  linked(server: ServerConnection): void;
  /** The wait that {@link ServerLink.need} began is over; `error`: no connection was granted. */
  resumed(error?: unknown): void;
  /** The connection stays until the session ends. */
  pinned(why: string): void;
  /** The connection was lost during a probe. */
  serverLost(): void;
}

/** The options of a link. */
export interface LinkOptions {
  readonly host: LinkHost;
  /** The connection that the login used. Absent: it needed none, and the first transaction gets one. */
  readonly first?: ServerConnection | undefined;
  /** Absent: the session keeps its first connection. */
  readonly source?: ServerSource | undefined;
  /** Without a source: whether {@link ServerLink.dirty} is kept up to date. Default: it is true from the start. */
  readonly watched?: boolean;
  /** Sets the settings of policies again on an idle connection. Absent: policies have no settings. */
  readonly refresh?: ((server: ServerConnection) => Promise<void>) | undefined;
}

/** Reports to the client the run-time parameters in which a connection differs from the last one. */
export function tellDifferences(
  known: Parameters,
  { parameters }: ServerConnection,
  tell: (message: Buffer) => void,
): void {
  if (known.content !== undefined && known.content === parameters.content) return;
  for (const [name, value] of parameters) {
    if (known.get(name) === value) continue;
    known.set(name, value);
    tell(parameterStatus(name, value));
  }
}

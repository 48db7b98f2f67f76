/** Where the link of a session gets server connections, and whom it tells. */
import type { ServerConnection } from '../upstream/connection.ts';
import { parameterStatus } from '../wire/to-client.ts';
import type { ServerFitness } from './transaction-boundary.ts';

/** Hears once how a wait for a server connection ended, in the stack of whoever made that so. */
export interface ServerWaiter {
  /** The connection has all settings of the session in force. */
  granted(server: ServerConnection): void;
  /** `error` is what the client shall read. */
  refused(error: unknown): void;
}

/** Gives server connections to one session, transaction by transaction. */
export interface ServerSource {
  /** The run-time parameters that the client believes to be in force, kept up to date by the relay. */
  readonly parameters: Map<string, string>;
  /** Statements that some connection has prepared without an error: for a Parse of one of them no connection is needed. */
  readonly known: { has(key: string): boolean; add(key: string): unknown };
  /** A connection with all settings of the session in force; undefined: `waiter` hears, unless it cancels. */
  checkOut(waiter: ServerWaiter): ServerConnection | undefined;
  /** The session waits no more: the waiter hears nothing after this. Default reason: the session has ended. */
  cancel(reason?: Error): void;
  checkIn(server: ServerConnection, how: ServerFitness): void;
  /** Told once when the connection has to stay with the session. */
  readonly pinned?: ((server: ServerConnection | undefined, why: string) => void) | undefined;
  /**
   * What ties the session to an idle connection, for the log; undefined if nothing does. Rejects if the connection is lost.
   * Absent: nobody looks.
   */
  readonly probe?: ((server: ServerConnection) => Promise<string | undefined>) | undefined;
}

/** What the link tells the relay. */
export interface LinkHost {
  /** Another connection is linked. */
  linked(server: ServerConnection): void;
  /** What {@link ServerLink.need} has waited for is over; with an error, there is no connection. */
  resumed(error?: unknown): void;
  /** The connection stays until the session ends. */
  pinned(why: string): void;
  /** The connection was lost while nobody listened to it. */
  lost(): void;
}

/** What a link is made of. */
export interface LinkOptions {
  readonly host: LinkHost;
  /** The connection that the login used. */
  readonly first: ServerConnection;
  /** Absent: the session keeps its first connection. */
  readonly source?: ServerSource | undefined;
  /** Sets on an idle connection again what policies rely on. Absent: they rely on nothing there. */
  readonly refresh?: ((server: ServerConnection) => Promise<void>) | undefined;
}

/** A connection may report other run-time parameters than the last one did, and the client cannot know. */
export function tellDifferences(
  known: Map<string, string>,
  { parameters }: ServerConnection,
  tell: (message: Buffer) => void,
): void {
  for (const [name, value] of parameters) {
    if (known.get(name) === value) continue;
    known.set(name, value);
    tell(parameterStatus(name, value));
  }
}

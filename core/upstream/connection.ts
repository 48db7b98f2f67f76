/** One authenticated connection to PostgreSQL, ready for its next message. */
import type { Channel } from '../net/channel.ts';
import type { Backend } from '../contract/session.ts';
import type { ServerStatus } from './hosts/server-probe.ts';
import type { ServerProcess } from './pool/connection-slots.ts';
import type { Parameters } from './parameter-map.ts';
import type { SessionDefaults } from './session-defaults.ts';

export { READING } from './session-defaults.ts';
export type { Parameters, SessionDefaults };

/** A prepared statement on a connection. */
export interface OnServer {
  /** A name of the gateway. */
  readonly name: string;
  /** When its Parse was sent, in milliseconds of a monotonic clock. */
  readonly at: number;
}

/** A server connection between its ReadyForQuery at login and its end. */
export interface ServerConnection extends Backend {
  readonly port?: number | undefined;
  /** The status of its server at the login; undefined where it was not asked. */
  readonly serverStatus?: ServerStatus | undefined;
  /** Paused; bytes that the server sent after ReadyForQuery are kept in it. */
  readonly channel: Channel;
  /** The newest ParameterStatus values by name; the relay keeps them up to date. */
  readonly parameters: Parameters;
  /** By the key of the statement; a reset of the connection clears it. */
  readonly prepared: Map<string, OnServer>;
  /**
   * `present`: another session of the same identity has taken values of sequences, which `currval` and `lastval` show; the next session
   * discards them in front of its first message. `discarded`: it has. Default: there are none, or a reset removes them.
   */
  sequencesOfOthers?: 'present' | 'discarded' | undefined;
  /** The database has state that no reset undoes, as of the login. Default false. */
  readonly unresettable?: boolean;
  /** Where a CancelRequest for it goes, with its key: only for the parent process of workers. Undefined: the server has sent no key. */
  readonly process?: ServerProcess | undefined;
  /** The server has sent a key for it. Default true. */
  readonly cancelable?: boolean;
  /**
   * Sends a CancelRequest (manual, 55.2.8) on a connection of its own, with the same TLS, and resolves when the
   * server closed that connection, which it does after the signal was sent: until then a cancel may still hit.
   * Resolves after 10 s at the latest: `false` then, and the connection must not be used again. Never rejects.
   * Does nothing where it is not `cancelable`.
   */
  cancel(): Promise<boolean>;
  /** Sends Terminate and closes. */
  close(): void;
}

/** The address of its server. */
export function addressOf({ host, port }: ServerConnection): {
  readonly host: string;
  readonly port?: number;
} {
  return port === undefined ? { host } : { host, port };
}

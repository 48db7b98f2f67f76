/** What `pool` of an entry of `databases` may say: how many server connections there are, and how they are shared. */
import type { Duration } from './durations.ts';

/**
 * The server connections of one database entry: kept after a session, and reset before another identity gets them.
 *
 * @reload new sessions
 */
export interface PoolOptions {
  /**
   * How long a client keeps a server connection: `'session'` until it leaves, `'transaction'` until its transaction is over. See
   * [many clients, few connections](#many-clients-few-connections).
   *
   * @defaultValue `'session'`
   * @example mode: 'transaction'
   */
  readonly mode?: 'session' | 'transaction';
  /**
   * Whether a client may choose the other mode for its session by the startup parameter `postern.pool`
   * (`options='-c postern.pool=session'`). With `'fixed'` such a login is refused with 0A000. See
   * [session mode for one client](#session-mode-for-one-client).
   *
   * @defaultValue `'fixed'`
   * @example clientMode: 'choose'
   */
  readonly clientMode?: 'fixed' | 'choose';
  /**
   * With `mode: 'transaction'` and `clientMode: 'choose'`: the most server connections of clients in session mode; later ones wait in a queue
   * of their own. Less than `size`; one role has at most one less than `perRole`.
   *
   * @defaultValue half of `size`
   * @example mostSessions: 5
   */
  readonly mostSessions?: number;
  /**
   * The most server connections of this entry, those being opened or closed included. Further clients wait.
   *
   * @defaultValue `20`
   * @example size: 50
   */
  readonly size?: number;
  /**
   * The most server connections of one role.
   *
   * @defaultValue `size`
   * @example perRole: 10
   */
  readonly perRole?: number;
  /**
   * How many server connections stay open, once used, for each role and each set of pinned settings.
   *
   * @defaultValue `0`
   * @example min: 2
   */
  readonly min?: number;
  /**
   * How many server connections beyond `size` there may be when a client has waited for `reserveAfter`.
   *
   * @defaultValue `0`
   * @example reserve: 5
   */
  readonly reserve?: number;
  /**
   * How long a client waits before the `reserve` is used.
   *
   * @defaultValue `'5s'`
   * @example reserveAfter: '2s'
   */
  readonly reserveAfter?: Duration;
  /**
   * Which sessions may get the same server connection, one after the other: those of one `'role'`, one `'tenant'`, one `'subject'`, or only
   * one `'session'`. A connection that may not go to the next session is closed. See
   * [how far a connection travels](#how-far-a-connection-travels).
   *
   * @defaultValue `'role'`, or `'subject'` where the database has extensions or languages whose state no reset undoes
   * @example share: 'tenant'
   */
  readonly share?: 'session' | 'subject' | 'tenant' | 'role';
  /**
   * When a server connection is reset: with `'auto'` between two identities, and within one identity where something may have been left; with
   * `'always'` between any two sessions.
   *
   * @defaultValue `'auto'`
   * @example reset: 'always'
   */
  readonly reset?: 'auto' | 'always';
  /**
   * How the gateway finds state that a session leaves on its server connection.
   *
   * - `'tags'`: by command tags and texts; the database's functions are trusted.
   * - `'calls'`: also by the functions that a statement may run and that may leave state, as the catalog says. Another session gets the
   *   connection after a reset.
   * - `'state'`, with `mode: 'transaction'` only: also by a query after each transaction. The connection then stays with its session.
   *
   * See [what outlives a transaction](#what-outlives-a-transaction).
   *
   * @defaultValue `'calls'`, with `reset: 'always'` `'state'`
   * @example detect: 'tags'
   */
  readonly detect?: 'tags' | 'calls' | 'state';
  /**
   * In transaction mode: what becomes of a setting that no text shows, such as one set in a `DO` block or by `set_config` with a computed
   * name. `'reset'`: it is gone after the transaction. `'pin'`: the connection stays with its client.
   *
   * @defaultValue `'reset'`
   * @example unknownSettings: 'pin'
   */
  readonly unknownSettings?: 'reset' | 'pin';
  /**
   * How many server connections may be opened at the same time.
   *
   * @defaultValue `4`
   * @example connecting: 8
   */
  readonly connecting?: number;
  /**
   * How many server connections may be opened within a second. While the server is not there it is fewer, after pauses of random length up
   * to 0.75 s.
   *
   * @defaultValue `100`
   * @example connectRate: 20
   */
  readonly connectRate?: number;
  /**
   * How long a client waits for a server connection before it is refused with 53300. During a login `loginTimeout` runs as well.
   *
   * @defaultValue `'10s'`
   * @example queueTimeout: '30s'
   */
  readonly queueTimeout?: Duration;
  /**
   * How long a server connection beyond `min` stays open unused.
   *
   * @defaultValue `'10m'`
   * @example idleTimeout: '1m'
   */
  readonly idleTimeout?: Duration;
  /**
   * How long a server connection is handed out again, give or take 10 %.
   *
   * @defaultValue `'1h'`
   * @example maxLifetime: '15m'
   */
  readonly maxLifetime?: Duration;
  /**
   * In transaction mode: how long a prepared statement serves clients that parse the same text before the server is asked again. For that
   * long the effect of DDL that does not pass this gateway may be missed. `'0s'` asks each time.
   *
   * @defaultValue `'30s'`
   * @example reparseAfter: '5s'
   */
  readonly reparseAfter?: Duration;
}

/** Watches, resets and closes the server connections that no session has. */
import { whenClosed } from '../../net/channel.ts';
import type { ServerConnection } from '../connection.ts';
import { IdleWatch } from '../idle-watch.ts';
import type { PooledServer } from './pooled-server.ts';
import { STEP_MS } from './session-preparation.ts';
import type { Reset } from './idle-connections.ts';
import type { KnownFunctions } from './known-functions.ts';
import { discardSequences, reset } from './reset.ts';
import type { Isolation } from './isolation.ts';

/** The options, and the callbacks for results. */
export interface ServerSocketsParts {
  readonly isolation: Isolation;
  /** Aborted when the pool ends. */
  readonly closing: AbortSignal;
  /** An idle connection cannot be used. */
  readonly unusable: (server: PooledServer) => void;
  readonly wasReset: (server: PooledServer, done: boolean, what: Reset) => void;
  /** See {@link PoolParts.functions}. */
  readonly functions: (database: string) => KnownFunctions | undefined;
  /** The server has closed it. */
  readonly closed: (server: PooledServer) => void;
}

/**
 * Settings that most clients of an application choose alike. Not client_encoding: names and values of other settings are sent in UTF-8.
 */
const PRESET = new Set(['application_name', 'datestyle', 'intervalstyle', 'timezone', 'extra_float_digits']);

/** One per pool. */
export class ServerSockets {
  readonly #parts: ServerSocketsParts;

  constructor(parts: ServerSocketsParts) {
    this.#parts = parts;
  }

  /** Watches an idle connection. */
  watch(server: PooledServer): void {
    const { connection } = server;
    if (connection) server.watch ??= new IdleWatch(connection, () => this.#parts.unusable(server));
    server.watch?.start();
  }

  /** Ends the watch; false: it must not be used. */
  unwatch(server: PooledServer): boolean {
    return server.watch?.stop() === true;
  }

  /** Removes all state that its session may have left, or what it took from sequences. */
  reset(server: PooledServer, what: Reset): void {
    const { connection } = server;
    if (!connection) return;
    server.busy = true;
    if (what === 'all') return this.#resetAll(server, connection);
    const { closing, wasReset } = this.#parts;
    void discardSequences(connection, { ms: STEP_MS, closing }).then((done) => {
      server.busy = false;
      wasReset(server, done, what);
    });
  }

  #resetAll(server: PooledServer, connection: ServerConnection): void {
    const { closing, isolation, functions, wasReset } = this.#parts;
    const { database } = server.key;
    const asks = isolation.asks(database);
    const known = functions(database);
    const question = known?.question();
    // Without `known`, nothing tells whether a seed was set.
    const seeds = !known || server.left === 'state';
    const wanted = server.applied.all.filter(
      ({ name, from }) => from === 'client' && PRESET.has(name.toLowerCase()),
    );
    const options = { ms: STEP_MS, closing, wanted, seeds, asks, asksFunctions: question !== undefined };
    void reset(connection, options).then(({ done, preset, unresettable, functions: catalog }) => {
      server.busy = false;
      if (unresettable !== undefined) isolation.learn(database, unresettable);
      if (question && catalog) known?.learn(question, catalog);
      server.preset = preset;
      wasReset(server, done, 'all');
    });
  }

  /** Says Terminate and waits for the server's end of the connection. */
  close(server: PooledServer): void {
    const { connection } = server;
    if (!connection) return;
    server.ended = whenClosed(connection.channel).then(() => this.#parts.closed(server));
    connection.close();
  }
}

/** Watches, resets and closes the server connections that no session has. */
import { whenClosed } from '../../net/channel.ts';
import { IdleWatch } from '../idle-watch.ts';
import type { PooledServer } from './pooled-server.ts';
import { STEP_MS } from './session-preparation.ts';
import { reset } from './reset.ts';
import type { Isolation } from './isolation.ts';

/** The options, and the callbacks for results. */
export interface ServerSocketsParts {
  readonly isolation: Isolation;
  /** Aborted when the pool ends. */
  readonly closing: AbortSignal;
  /** An idle connection cannot be used. */
  readonly unusable: (server: PooledServer) => void;
  readonly wasReset: (server: PooledServer, done: boolean) => void;
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

  /** Removes all state that its session may have left. */
  reset(server: PooledServer): void {
    const { connection } = server;
    if (!connection) return;
    server.busy = true;
    const { closing, isolation, wasReset } = this.#parts;
    const asks = isolation.asks(server.key.database);
    const wanted = server.applied.all.filter(
      ({ name, from }) => from === 'client' && PRESET.has(name.toLowerCase()),
    );
    void reset(connection, { ms: STEP_MS, closing, wanted, asks }).then(({ done, preset, unresettable }) => {
      server.busy = false;
      if (unresettable !== undefined) isolation.learn(server.key.database, unresettable);
      server.preset = preset;
      wasReset(server, done);
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

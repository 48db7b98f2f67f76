/** Sessions in transaction mode that share a few server connections through a real pool, each with its relay. */
import { serversFor } from '../../core/connection/session-servers.ts';
import type { ServerSource } from '../../core/relay/server-source.ts';
import type { RelayOptions } from '../../core/relay/relay-options.ts';
import { parseDatabase, parseRole } from '../../core/contract/names.ts';
import type { Startup, Upstream } from '../../core/contract/session.ts';
import { schemaChangesOf } from '../../core/upstream/schema-changes.ts';
import { applyAgain } from '../../core/upstream/settings.ts';
import { Pool } from '../../core/upstream/pool/pool.ts';
import type { Postgres } from './postgres.ts';
import { relayed } from './raw.ts';
import type { Relayed } from './raw.ts';

/** How one session comes. */
export interface Arrival {
  /** Sessions with the same text may have each other's connections as they are. Default `'same'`. */
  readonly fingerprint?: string;
  /** The client's own run-time parameters. Default none. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly options?: Partial<RelayOptions>;
  /** What plugins pin, and set at each check-out. Default nothing. */
  readonly plugins?: Partial<Upstream>;
}

/** A session, and whether it has a server connection now. */
export interface SharedSession extends Relayed {
  readonly holds: boolean;
}

/** A pool and the sessions in front of it. */
export interface SharedSessions {
  readonly pool: Pool;
  connect(arrival?: Arrival): Promise<SharedSession>;
  /** Every client leaves, and then the pool closes. */
  close(): Promise<void>;
}

/** `size` connections to a database as the role `writer`; whoever finds none waits for `queueTimeoutMs`, default 30 s. */
export function sharedSessions(
  postgres: Postgres,
  name: string,
  size: number,
  queueTimeoutMs = 30_000,
): SharedSessions {
  const database = {
    host: postgres.socketDir,
    port: postgres.port,
    tls: { mode: 'disable' },
    login: { kind: 'password', passwords: postgres.passwords },
    pool: { mode: 'transaction', size },
  } as const;
  const pool = new Pool({ entry: 'shared', database, timeouts: { queueMs: queueTimeoutMs } });
  const upstream: Upstream = {
    entry: 'shared',
    database: parseDatabase(name),
    role: parseRole('writer'),
    settings: {},
    schemas: [],
    onCheckout: [],
  };
  const sessions = new Set<Relayed>();
  return {
    pool,
    async connect({ fingerprint = 'same', parameters = {}, options = {}, plugins = {} } = {}) {
      const startup: Startup = { user: 'writer', database: name, parameters };
      const over = new AbortController();
      const { signal } = over;
      const loan = {
        pool,
        database,
        upstream: { ...upstream, ...plugins },
        startup,
        fingerprint,
        holder: {},
        signal,
      };
      const first = await pool.acquire(loan);
      const source = serversFor(loan, first);
      let held = 1;
      const watched: ServerSource = {
        parameters: source.parameters,
        known: source.known,
        probe: source.probe,
        pinsUnknown: source.pinsUnknown === true,
        get defaults() {
          return source.defaults;
        },
        unseen: (server, texts) => source.unseen?.(server, texts),
        settle: (server, touched) => source.settle?.(server, touched),
        settingOf: (name) => source.settingOf?.(name),
        pinned: (why) => source.pinned?.(why),
        checkOut(waiter) {
          const server = source.checkOut({
            granted(granted) {
              held += 1;
              waiter.granted(granted);
            },
            refused: (error) => waiter.refused(error),
          });
          if (server) held += 1;
          return server;
        },
        cancel: (reason) => source.cancel(reason),
        checkIn(server, how) {
          held -= 1;
          source.checkIn(server, how);
        },
      };
      const schema = schemaChangesOf(name);
      const refresh: RelayOptions['refresh'] = (server, afterReset) =>
        applyAgain(server, { upstream: loan.upstream, startup, follows: source.parameters }, afterReset);
      const session = await relayed(first, { source: watched, schema, refresh, ...options });
      sessions.add(session);
      void session.relay.done.then(() => {
        over.abort();
        sessions.delete(session);
      });
      // Not a copy: what it tells changes.
      return Object.defineProperty(session, 'holds', { get: () => held > 0 }) as SharedSession;
    },
    async close() {
      for (const session of sessions) session.close();
      await Promise.all([...sessions].map(({ relay }) => relay.done));
      await pool.close();
    },
  };
}

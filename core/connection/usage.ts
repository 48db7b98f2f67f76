/** The use of one session: its present server connection, and its counters. Added up only on request. */
import type { PoolOptions } from '../contract/pool.ts';
import type { Channel } from '../net/channel.ts';
import { SessionCounters } from '../relay/requests/outstanding-requests.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import type { Pool } from '../upstream/pool/pool.ts';
import type { OpenSession } from './open-session.ts';
import type { SessionState } from '../contract/session.ts';
import { epochTime, monotonicNow } from './epoch-time.ts';

/** The counters; times in milliseconds. */
export interface Counts {
  transactions: number;
  queries: number;
  /** Bytes from the client and to it, inside TLS. */
  received: number;
  sent: number;
  /** In a transaction, be it idle. */
  transactionMs: number;
  /** Running a statement. */
  queryMs: number;
  /** In the queue, until there was a server connection. */
  waitMs: number;
  clientParses: number;
  serverParses: number;
  binds: number;
  /** Server connections that were lent. */
  assignments: number;
}

/** One per session that has found its database entry. */
export class Usage {
  readonly session: OpenSession;
  /** The key of `databases`, or the name of a database that a plugin answers. */
  readonly entry: string;
  readonly role: string;
  readonly channel: Channel;
  /** The pool of its server connections. Undefined: it gets none. */
  readonly pool: Pool | undefined;
  readonly counters = new SessionCounters();
  /** How it uses its pool. Undefined: it has none. */
  mode: PoolOptions['mode'];
  /** The parameters that the client believes to be in force. */
  parameters: ReadonlyMap<string, string> = new Map();
  /** Its present connection. */
  server: ServerConnection | undefined;
  /** The kind of replication, in PgBouncer's words. */
  replication: 'none' | 'logical' | 'physical' = 'none';
  /** Cancels of its own that are under way. */
  cancels = 0;
  #state: SessionState = 'idle';
  /** These three by `monotonicNow`. */
  #since = 0;
  #waitsSince: number | undefined;
  #requestedAt: number | undefined;
  #waited = 0;
  #transactionMs = 0;
  #queryMs = 0;
  #waitMs = 0;
  #assignments = 0;

  constructor(session: OpenSession, entry: string, role: string, channel: Channel, pool?: Pool) {
    this.session = session;
    this.entry = entry;
    this.role = role;
    this.channel = channel;
    this.pool = pool;
  }

  /** Since when it waits for a connection, in milliseconds since the epoch. Undefined: it does not. */
  get waitingSince(): number | undefined {
    return this.#waitsSince === undefined ? undefined : epochTime(this.#waitsSince);
  }

  /** When its last request came, in milliseconds since the epoch; before the first one, when its connection was accepted. */
  get requestedAt(): number {
    return this.#requestedAt === undefined ? this.session.startedAt : epochTime(this.#requestedAt);
  }

  /** It waits for a connection from now on, until {@link waited}. */
  waits(): void {
    this.#waitsSince = monotonicNow();
  }

  /** The wait is over, with a connection or without. */
  waited(server?: ServerConnection): void {
    if (this.#waitsSince === undefined) return;
    const ms = monotonicNow() - this.#waitsSince;
    this.#waitsSince = undefined;
    this.#waitMs += ms;
    if (this.#state !== 'idle') this.#waited += ms;
    if (server) this.took(server);
  }

  /** A connection has been lent. */
  took(server: ServerConnection): void {
    this.server = server;
    this.#assignments += 1;
  }

  /** A cancel of its own is under way until `cancel` resolves. */
  async canceling(cancel: () => Promise<void>): Promise<void> {
    this.cancels += 1;
    await cancel().finally(() => (this.cancels -= 1));
  }

  /** The session's state changed, at `at` by `monotonicNow`. */
  changed(state: SessionState, at: number): void {
    if (this.#state !== 'idle') {
      const ms = Math.max(0, at - this.#since - this.#waited);
      this.#waited = 0;
      this.#transactionMs += ms;
      if (this.#state === 'active') this.#queryMs += ms;
    }
    if (state === 'active') this.#requestedAt = at;
    this.#state = state;
    this.#since = at;
  }

  /** All of it until now. */
  counts(): Counts {
    const { transactions, queries, clientParses, serverParses, binds } = this.counters;
    const { bytesRead: received, bytesWritten: sent } = this.channel.socket;
    return {
      transactions,
      queries,
      received,
      sent,
      transactionMs: this.#transactionMs,
      queryMs: this.#queryMs,
      waitMs: this.#waitMs,
      clientParses,
      serverParses,
      binds,
      assignments: this.#assignments,
    };
  }
}

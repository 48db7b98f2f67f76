/** What a worker of the gateway has and has done, in plain numbers: read when somebody asks, never counted for it. */

/** What there is of one entry and one role now. */
export interface RoleReading {
  /** The key of `databases`. */
  readonly entry: string;
  readonly role: string;
  /** Sessions that are logged in or have come as far as the pool. */
  readonly clients: { readonly active: number; readonly idle: number; readonly waiting: number };
  /** All of these sessions. */
  readonly sessions: number;
  /** Cancels of theirs that are under way. */
  readonly cancels: number;
  /** Server connections. */
  readonly servers: Readonly<Record<'opening' | 'idle' | 'resetting' | 'lent' | 'closing', number>>;
  /** How long the one that waits longest has waited, in milliseconds; 0 where nobody waits. */
  readonly longestWaitMs: number;
}

/** What sessions have used. */
export interface UsedCounts {
  /** ReadyForQuery that clients were given, and those of them with no transaction open. */
  readonly queries: number;
  readonly transactions: number;
  /** Bytes from clients and to them, inside TLS. */
  readonly received: number;
  readonly sent: number;
  /** In a transaction, at work for a statement, and waiting for a server connection; in milliseconds. */
  readonly transactionMs: number;
  readonly queryMs: number;
  readonly waitMs: number;
  /** Parse messages of clients and to servers, and Bind messages. */
  readonly clientParses: number;
  readonly serverParses: number;
  readonly binds: number;
  /** Server connections that were lent. */
  readonly assignments: number;
}

/**
 * What no session has used.
 *
 * @example
 *   const both = { ...NOTHING_USED, queries: 3 + 4 };
 */
export const NOTHING_USED: UsedCounts = {
  queries: 0,
  transactions: 0,
  received: 0,
  sent: 0,
  transactionMs: 0,
  queryMs: 0,
  waitMs: 0,
  clientParses: 0,
  serverParses: 0,
  binds: 0,
  assignments: 0,
};

/** What the sessions of one entry have used since the start, those that are open included. */
export interface TotalsReading extends UsedCounts {
  readonly entry: string;
}

/** All of it. */
export interface Readings {
  /** Of Postern. */
  readonly version: string;
  /** True once the gateway takes no new logins. */
  readonly draining: boolean;
  /** Sessions that have not found their entry yet. */
  readonly loggingIn: number;
  readonly roles: readonly RoleReading[];
  readonly totals: readonly TotalsReading[];
  /** How many server connections each entry may have, by its name: `pool.size`. */
  readonly limits: Readonly<Record<string, number>>;
  /** When the config last came into force, in milliseconds since the epoch, and whether a reload has failed since. */
  readonly reload: { readonly at: number; readonly failed: boolean };
}

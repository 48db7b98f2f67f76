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

/** What the sessions of one entry have used since the start, those that are open included. */
export interface TotalsReading {
  readonly entry: string;
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

/** What observers are told: each at its end, never awaited. Read it in the call: see `statement`. */
import type { GatewayError } from './errors.ts';
import type { Identity, RevocationTarget } from './facts.ts';
import type { Client, CloseReason, Session } from './session.ts';
import type { Statement } from './statement.ts';

/** What every event of a session has. */
export interface Ended {
  readonly session: Session;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** Present if it failed: five characters (manual, Appendix A). */
  readonly sqlstate?: string;
  /** Present if the gateway itself refused. */
  readonly error?: GatewayError;
}

/** Who gave an order. */
export type Actor = Pick<Identity, 'issuer' | 'subject'>;

/** A hook that can be timed. */
export type HookName = 'onStartup' | 'onAuth' | 'onQuery' | 'onClose';

/** What a session that had found its entry has used. */
export interface SessionCounts {
  /** ReadyForQuery the client was given: Query messages, and batches of the extended protocol. */
  readonly queries: number;
  readonly transactions: number;
  /** Bytes from the client and to it, inside TLS. */
  readonly received: number;
  readonly sent: number;
  /** In milliseconds: waiting for server connections. */
  readonly waitMs: number;
}

/** Observable events by name. Those with a session are told to the plugins in its scope, the others to all. */
export interface Events {
  /**
   * A login is over: from the StartupMessage to the first ReadyForQuery, or to the refusal.
   *
   * @example login: ({ session, durationMs, sqlstate }) => session.log.info({ durationMs, sqlstate }, 'login seen')
   */
  login: Ended;
  /**
   * A client had no token and was told where to get one (`OAuthAnnouncement`): neither a login nor a failed one.
   *
   * @example discovery: ({ session }) => session.log.info({}, 'told where to get a token')
   */
  discovery: Ended;
  /**
   * A session has got its first server connection, or ends because it gets none: during its login, or with its first statement where the login needed none. Once per
   * session: a statement that got none, and after which the session goes on, is told as `queue`.
   *
   * @example connect: ({ session, host, durationMs }) => session.log.info({ host, durationMs }, 'connected')
   */
  connect: Ended & { readonly host: string; readonly port?: number };
  /**
   * The session had to wait for a server connection, as none was free at once, and has got it or has given up.
   *
   * @example queue: ({ session, durationMs }) => session.log.info({ durationMs }, 'waited for a connection')
   */
  queue: Ended;
  /**
   * A hook of a plugin has returned or thrown. It has not failed where it passes on a discovery request. A plugin that observes it has every call of every hook
   * timed.
   *
   * @example hook: ({ plugin, hook, durationMs }) => times.push([plugin, hook, durationMs])
   */
  hook: Ended & { readonly plugin: string; readonly hook: HookName };
  /**
   * A statement's last answer has been relayed. For a portal, one event per Execute. A Sync is told only if it fails, which
   * undoes what was executed since the transaction began; its id and text are those of the last Execute in front of it.
   *
   * The object is good for the call only: its session fills it anew for its next statement. Copy what you keep, such as
   * `{ ...event }`; the members themselves do not change.
   *
   * @example statement: ({ session, sql, rows, durationMs }) => session.log.info({ sql: withoutLiterals(sql), rows, durationMs }, 'statement')
   */
  statement: Ended & {
    readonly id: number;
    readonly kind: Statement['kind'] | 'sync';
    /** The function's object id, for a FunctionCall. */
    readonly function?: number;
    /** The server that answered. */
    readonly host?: string;
    readonly port?: number;
    /** Text as the server got it, at most 64 KiB. */
    readonly sql: string;
    readonly truncated: boolean;
    /** Command tags of its CommandComplete messages, the first 1,000. */
    readonly tags: readonly string[];
    readonly rows: number;
    readonly bytesIn: number;
    readonly bytesOut: number;
  };
  /**
   * A plugin has renewed facts of an open session, or was refused.
   *
   * @example renewal: ({ session, sqlstate }) => session.log.info({ sqlstate }, 'token renewed')
   */
  renewal: Ended;
  /**
   * A session is over.
   *
   * @example close: ({ session, reason, used }) => session.log.info({ reason: reason.kind, ...used }, 'session over')
   */
  close: Ended & { readonly reason: CloseReason; readonly used?: SessionCounts };
  /**
   * A connection ended before there was a session.
   *
   * @example refused: ({ client, why }) => refusals.push([client.address, why])
   */
  refused: { readonly client: Client; readonly why: string };
  /**
   * An operator has given an order, which may take its time. Orders that only look are not told.
   *
   * @example operator: ({ by, verb, target }) => orders.push([by?.subject, verb, target])
   */
  operator: {
    readonly by?: Actor | undefined;
    /** The way of the order, in a word of the plugin that has it, such as `'http'`. */
    readonly via: string;
    /** In capitals, as in the log: `PAUSE`. */
    readonly verb: string;
    /** What it is done to: `{ database: 'orders' }`. */
    readonly target: Readonly<Record<string, string>>;
  };
  /**
   * Tokens were revoked here, or a revocation was taken back.
   *
   * @example revocation: ({ id, takenBack, sessions }) => revoked.push([id, takenBack, sessions])
   */
  revocation: {
    /** Absent where a plugin did it by itself. */
    readonly by?: Actor | undefined;
    readonly id: string;
    readonly what: RevocationTarget;
    readonly takenBack: boolean;
    /** Sessions that were told to end, at all instances of the fleet. */
    readonly sessions: number;
  };
  /**
   * A client asked for a token to a database, and the plugin that issues such tokens has decided.
   *
   * @example access: ({ by, granted, database }) => decisions.push([by.subject, granted, database])
   */
  access: {
    /** Who asked. */
    readonly by: Actor;
    readonly granted: boolean;
    /** The token's `jti`; absent where there is none. */
    readonly id?: string;
    readonly database: string;
    /** Absent where none was named and none granted. */
    readonly role?: string | undefined;
    /** How long it is good, or was asked to be. */
    readonly durationMs?: number | undefined;
    /** The caller's own words. */
    readonly reason?: string | undefined;
    /** Why it was refused. */
    readonly why?: string;
  };
}

/** A name in {@link Events}. */
export type EventName = keyof Events;

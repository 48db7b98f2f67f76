/** A session's requests for a connection, and the session as far as its pool knows it. */
import type { DatabaseOptions } from '../../contract/database.ts';
import type { Startup, Upstream } from '../../contract/session.ts';
import type { Target } from '../../contract/target.ts';
import type { ServerConnection } from '../connection.ts';
import type { Parameters } from '../parameter-map.ts';
import type { SessionSettings } from '../session-settings.ts';
import { asksForReplication } from '../startup.ts';
import { keyOf } from '../pool-key.ts';
import type { PoolKey } from '../pool-key.ts';

/** A session, as far as a pool knows it. */
export interface Holder {
  /** Aborted when the session is over. */
  readonly signal?: AbortSignal;
}

/** The groups a session belongs to, from the smallest to the largest: equal texts are the same group. */
export interface IsolationScopes {
  readonly session: string;
  readonly subject: string;
  readonly tenant: string;
}

/** The session whose state a connection carries. */
export interface Owner {
  readonly fingerprint: string;
  readonly scopes: IsolationScopes;
  /** The session itself. */
  readonly holder: Holder | undefined;
  /** It keeps its connection until it ends, in a pool that lends for transactions. Default false. */
  readonly inSessionMode?: boolean | undefined;
  /** The session discards values of sequences by itself: {@link ServerConnection.sequencesOfOthers}. Default false. */
  readonly discardsSequences?: boolean | undefined;
}

/** The part of an AbortSignal that pools use: they need none of its own per session. */
export interface EndSignal extends Pick<AbortSignal, 'aborted' | 'throwIfAborted'> {
  readonly reason: unknown;
  addEventListener(event: 'abort', listener: () => void, options?: { readonly once: boolean }): void;
  removeEventListener(event: 'abort', listener: () => void): void;
}

/** Called when a request enters the queue; the returned function is called when it leaves, with an error if it was refused. */
export type Queued = () => (error?: unknown) => void;

/** The session that requests a connection. */
export interface AcquireRequest {
  /** The current entry, where a function made a new one. Default: that of the pool. */
  readonly database?: DatabaseOptions;
  readonly upstream: Upstream;
  readonly startup: Startup;
  /** The client's `replication` parameter as it was given. */
  readonly replication?: string | undefined;
  /** Equal for sessions that may see each other's state, which two people never may. */
  readonly fingerprint: string;
  /** The session itself in transaction mode, where it may get a connection again as it left it. */
  readonly holder?: Holder;
  /** It keeps its connection until it ends, in a pool that lends for transactions. Default false. */
  readonly inSessionMode?: boolean | undefined;
  /** See {@link Owner.discardsSequences}. */
  readonly discardsSequences?: boolean | undefined;
  /** The groups with which it shares connections. Default: only its fingerprint. */
  readonly scopes?: IsolationScopes;
  /** Aborted when the session ends; waits for the connection then stop at once. */
  readonly signal: EndSignal;
  readonly queued?: Queued | undefined;
}

/** The purpose of a connection. */
export interface CheckoutRequest {
  readonly key: PoolKey;
  readonly owner: Owner;
  readonly request: {
    readonly database: DatabaseOptions;
    readonly upstream: Upstream;
    readonly startup: Startup;
    readonly follows?: Parameters | undefined;
    readonly session?: SessionSettings | undefined;
    /** See {@link SettingsRequest}. */
    settings?: SessionSettings | undefined;
    readonly replication?: string | undefined;
    readonly signal: EndSignal;
    readonly queued?: Queued | undefined;
  };
}

/** Called once, unless the request is cancelled before: in the stack of the caller that decides, which may be the check-out itself. */
export interface CheckOutListener {
  granted(connection: ServerConnection): void;
  refused(error: unknown): void;
}

/** A request of a session, made once for all its transactions: one at a time is under way. */
export interface Waiter extends CheckoutRequest {
  request: CheckoutRequest['request'];
  readonly listener: CheckOutListener;
  /** When it entered the queue, by the pool's clock. */
  since: number;
  /** When it is refused, by `performance.now()`; 0 between two requests. */
  until: number;
  queued: boolean;
  /** The connection that is being made ready for it. */
  preparing: object | undefined;
  /** See {@link Queued}. */
  dequeued: ((error?: unknown) => void) | undefined;
}

/** Makes a request, which `defaults` complete. @throws GatewayError without a role */
export function waiterOf(
  request: AcquireRequest,
  listener: CheckOutListener,
  defaults: { readonly database: DatabaseOptions; readonly target: Target },
): Waiter {
  const { upstream, replication, database = defaults.database } = request;
  const key = keyOf(upstream, asksForReplication(replication), defaults.target);
  const { startup, signal, queued } = request;
  // No spread: objects made by one have a shape each, and reading their servers is many times as dear.
  return {
    key,
    owner: ownerOf(request),
    request: {
      database,
      upstream,
      startup,
      follows: undefined,
      session: undefined,
      settings: undefined,
      replication,
      signal,
      queued,
    },
    listener,
    since: 0,
    until: 0,
    queued: false,
    preparing: undefined,
    dequeued: undefined,
  };
}

/** The same request for a session that believes in these parameters, and has set these settings since its login. */
export function changedRequest(
  { database, upstream, startup, replication, signal, queued }: CheckoutRequest['request'],
  follows: Parameters,
  session: SessionSettings | undefined,
): CheckoutRequest['request'] {
  return { database, upstream, startup, follows, session, settings: undefined, replication, signal, queued };
}

function ownerOf({ fingerprint, holder, scopes, inSessionMode, discardsSequences }: AcquireRequest): Owner {
  const own = { session: fingerprint, subject: fingerprint, tenant: fingerprint };
  return { fingerprint, holder, scopes: scopes ?? own, inSessionMode, discardsSequences };
}

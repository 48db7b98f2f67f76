/** What a session wants of a pool, and the session as it waits for it. */
import type { DatabaseOptions } from '../../database.ts';
import type { Startup, Upstream } from '../../session.ts';
import type { ServerConnection } from '../connection.ts';
import type { Target } from '../../target.ts';
import { asksForReplication } from '../startup.ts';
import { keyOf } from './key.ts';
import type { PoolKey } from './key.ts';
import type { Circles, Holder, Member, Owner } from './member.ts';

/** Hears that a request has come into the queue; what it returns hears that it has left it, with an error if in vain. */
export type Queued = () => (error?: unknown) => void;

/** Who wants a connection. */
export interface AcquireRequest {
  /** The entry as it is now, where a function has made it anew. Default: the one the pool was made for. */
  readonly database?: DatabaseOptions;
  readonly upstream: Upstream;
  readonly startup: Startup;
  /** The client's `replication` parameter as it was given. */
  readonly replication?: string | undefined;
  /** Who it is for: equal for sessions that may see what the other left, which is never so for two people. */
  readonly fingerprint: string;
  /** The session itself, where it gives connections back between its transactions and may get them as it left them. */
  readonly holder?: Holder;
  /** Whose traces it may meet. Default: only those of its fingerprint. */
  readonly circles?: Circles;
  /** Aborted when the session ends; what waits for it then stops at once. */
  readonly signal: AbortSignal;
  readonly queued?: Queued | undefined;
}

/** What a connection is opened and lent for. */
export interface Wanted {
  readonly key: PoolKey;
  readonly owner: Owner;
  readonly request: {
    readonly database: DatabaseOptions;
    readonly upstream: Upstream;
    readonly startup: Startup;
    readonly follows?: ReadonlyMap<string, string> | undefined;
    readonly replication?: string | undefined;
    readonly signal: AbortSignal;
    readonly queued?: Queued | undefined;
  };
}

/** Hears once, unless it cancels before: in the stack of whatever made that so, the check-out itself included. */
export interface CheckOutListener {
  granted(connection: ServerConnection): void;
  refused(error: unknown): void;
}

/** A request of a session, made once for all its transactions: one at a time is under way. */
export interface Waiter extends Wanted {
  request: Wanted['request'];
  readonly listener: CheckOutListener;
  /** When it came into the queue, by the pool's clock. */
  since: number;
  /** When it is refused, by `performance.now()`; 0 between two requests. */
  until: number;
  queued: boolean;
  /** The connection that is being made ready for it. */
  preparing: Member | undefined;
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
  const asked = { key, owner: ownerOf(request), request: { ...request, database }, listener };
  return { ...asked, since: 0, until: 0, queued: false, preparing: undefined, dequeued: undefined };
}

function ownerOf({ fingerprint, holder, circles }: AcquireRequest): Owner {
  const own = { session: fingerprint, subject: fingerprint, tenant: fingerprint };
  return { fingerprint, holder, circles: circles ?? own };
}

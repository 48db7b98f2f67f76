/**
 * Requests for a connection and their queue: identities are served in rotation, within one identity first come, first
 * served.
 */
import type { DatabaseOptions } from '../../database.ts';
import type { Startup, Upstream } from '../../session.ts';
import type { Target } from '../../target.ts';
import type { ServerConnection } from '../connection.ts';
import type { Parameters } from '../parameter-map.ts';
import type { SessionSettings } from '../session-settings.ts';
import { asksForReplication } from '../startup.ts';
import { keyOf } from './pooled-server.ts';
import type { Holder, IsolationScopes, Owner, PoolKey, PooledServer } from './pooled-server.ts';

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
  preparing: PooledServer | undefined;
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

// The queue of a pool: identities are served in rotation, within one identity first come, first served.

/** An entry of the queue. */
interface QueueEntry {
  /** The identity whose turn is counted. */
  readonly owner: { readonly fingerprint: string };
  /** When it came, by the pool's clock. */
  readonly since: number;
}

/** A queue that a thousand requests of one identity cannot keep another identity out of. */
export class WaitingClients<W extends QueueEntry> {
  /** By fingerprint, the next turn first. */
  readonly #lines = new Map<string, W[]>();
  /** In the order of arrival. */
  readonly #all = new Set<W>();

  get size(): number {
    return this.#all.size;
  }

  /** The one that has waited longest; undefined if the queue is empty. */
  get oldest(): W | undefined {
    for (const waiter of this.#all) return waiter;
    return undefined;
  }

  /** The one whose turn is next; undefined if the queue is empty. */
  get next(): W | undefined {
    for (const line of this.#lines.values()) return line[0];
    return undefined;
  }

  /** A request that returns to the queue comes after all others, and `since` is when it returned. */
  add(waiter: W): void {
    this.#all.add(waiter);
    const line = this.#lines.get(waiter.owner.fingerprint);
    if (line) line.push(waiter);
    else this.#lines.set(waiter.owner.fingerprint, [waiter]);
  }

  /** Removes one. `served`: the identity has had its turn, and its next one comes after all others'. */
  remove(waiter: W, served: boolean): void {
    if (!this.#all.delete(waiter)) return;
    const { fingerprint } = waiter.owner;
    const line = this.#lines.get(fingerprint) ?? [];
    if (line[0] === waiter) line.shift();
    else line.splice(line.indexOf(waiter), 1);
    if (line.length === 0) this.#lines.delete(fingerprint);
    else if (served && this.#lines.size > 1) {
      this.#lines.delete(fingerprint);
      this.#lines.set(fingerprint, line);
    }
  }

  /** All by turn: the first of each identity, then the second of each. Stop before you add or remove. */
  *inTurn(): Generator<W, void> {
    for (let place = 0, found = true; found; place += 1) {
      found = false;
      for (const line of this.#lines.values()) {
        const waiter = line[place];
        if (!waiter) continue;
        found = true;
        yield waiter;
      }
    }
  }

  /** All in the order of arrival; a copy. */
  all(): readonly W[] {
    return [...this.#all];
  }
}

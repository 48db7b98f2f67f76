/** What a session wants of a pool, and the session as it waits for it. */
import type { DatabaseOptions } from '../../database.ts';
import type { Startup, Upstream } from '../../session.ts';
import type { PoolKey } from './key.ts';
import type { Member, Owner } from './member.ts';

/** Runs the wait of somebody for whom there was no connection at once. Its result and its error are the wait's own. */
export type Queued = <T>(wait: () => Promise<T>) => Promise<T>;

/** What a connection is opened and lent for. */
export interface Wanted {
  readonly key: PoolKey;
  readonly owner: Owner;
  readonly request: {
    readonly database: DatabaseOptions;
    readonly upstream: Upstream;
    readonly startup: Startup;
    readonly replication?: string | undefined;
    readonly signal: AbortSignal;
    readonly queued?: Queued | undefined;
  };
}

/** Somebody in the queue: one of the two functions is called, once. */
export interface Waiter extends Wanted {
  /** By the pool's clock. */
  readonly since: number;
  resolve(member: Member): void;
  reject(error: unknown): void;
}

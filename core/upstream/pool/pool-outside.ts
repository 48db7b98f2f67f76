/** The world as the state of a pool knows it: what it asks, and what it has done there. */
import type { Member } from './member.ts';
import type { Waiter } from './wanted.ts';

/**
 * What a connection is like when it comes back. `clean`: idle, owes nothing, and no tag showed that state was left, so that
 * the same identity may have it as it is. `dirty`: idle and owes nothing. `close`: anything else.
 */
export type Condition = 'clean' | 'dirty' | 'close';

/** What the state knows of the world, and has done there. */
export interface PoolOutside {
  /** By the pool's clock. */
  now(): number;
  /** No connection may be opened now. */
  readonly connecting: boolean;
  /** Why none may be opened for a role now. */
  refusal(role: string): Error | undefined;
  /** Begins to open one, where a server suits; it ends in `opened` or `failed`. */
  open(waiter: Waiter): void;
  /** The connection is there, and its server suits still. */
  fits(member: Member): boolean;
  /** Watches an idle connection; `spoilt` says that it cannot be used. */
  watch(member: Member): void;
  /** Ends that; false: it must not be used. */
  unwatch(member: Member): boolean;
  /** Ends in `wasReset`. */
  reset(member: Member): void;
  /** Ends in `closed`. */
  close(member: Member): void;
  /** The request has left the queue, and the connection is lent to it. */
  granted(waiter: Waiter, member: Member): void;
  /** The request has left the queue, and gets none. */
  refused(waiter: Waiter, error: unknown): void;
  /** The queue was gone through, or a connection is gone. */
  served(): void;
}

/** The effects of a pool's state: sockets, timers and the clock behind an interface. */
import type { Member } from './member.ts';
import type { Waiter } from './wanted.ts';

/**
 * The condition of a connection at check-in. `clean`: idle, no answer outstanding, and no tag showed that state was left, so that
 * the same identity may have it as it is. `dirty`: idle and no answer outstanding. `close`: any other.
 */
export type Condition = 'clean' | 'dirty' | 'close';

/** Questions and effects of the state. */
export interface PoolOutside {
  /** By the pool's clock. */
  now(): number;
  /** No connection may be opened now. */
  readonly connecting: boolean;
  /** Why none may be opened for a role now. */
  refusal(role: string): Error | undefined;
  /** Begins to open one, where a server suits; ends with a call of `opened` or `failed`. */
  open(waiter: Waiter): void;
  /** Whether the connection's server still suits. */
  fits(member: Member): boolean;
  /** Watches an idle connection; calls `spoilt` when it cannot be used. */
  watch(member: Member): void;
  /** Stops watching; false: the connection must not be used. */
  unwatch(member: Member): boolean;
  /** Ends with a call of `wasReset`. */
  reset(member: Member): void;
  /** Ends with a call of `closed`. */
  close(member: Member): void;
  /** The request has left the queue, and the connection is lent to it. */
  granted(waiter: Waiter, member: Member): void;
  /** The request has left the queue without a connection. */
  refused(waiter: Waiter, error: unknown): void;
  /** The queue was gone through, or a connection is gone. */
  served(): void;
}

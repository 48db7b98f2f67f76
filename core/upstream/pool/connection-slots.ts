/** The right to open a connection where several workers have a pool of the same entry: one slot for each connection of all of them. */
import type { Limits } from './limits.ts';

/** A connection as a CancelRequest needs it. In memory only: whoever knows it can cancel its statements. */
export interface ServerProcess {
  readonly host: string;
  readonly port?: number;
  readonly address: { readonly path: string } | { readonly host: string; readonly port: number };
  readonly pid: number;
  /** In hexadecimal. */
  readonly secret: string;
}

/** Lent for one connection. Each is given back once, by {@link gone}, {@link unused} or {@link down}; later calls do nothing. */
export interface ConnectionSlot {
  /** The connection is ready. Undefined: the server cannot cancel. Before any statement of a session. */
  opened(process: ServerProcess | undefined): void;
  /** The connection is gone, ready or not. */
  gone(): void;
  /** No connection was opened. */
  unused(): void;
  /** As {@link gone}, since the server is down or full: no worker tries again for a while. */
  down(): void;
}

/** How many more connections are wanted, and since when by `performance.now()`; Infinity: no session waits for them. */
export interface SlotWant {
  readonly n: number;
  readonly since: number;
}

/** Which slot has to be returned: one that has been idle for a while, or the next; of a role, or any. */
export interface SlotRecall {
  readonly kind: 'spare' | 'next';
  readonly role: string | undefined;
}

/** The limits that hold over all workers; Infinity is no limit. */
export type SlotLimits = Pick<
  Limits,
  'size' | 'perRole' | 'reserve' | 'reserveAfterMs' | 'connecting' | 'connectRate'
>;

/** The slots of one pool, as one of the workers has them. Nothing of it waits. */
export interface ConnectionSlots {
  /** How many workers there are. */
  readonly workers: number;
  /** Sets the function that is called when slots have come, or one has to be returned: it takes and returns them. */
  changed(changed: () => void): void;
  /** A slot that has been granted; undefined: there is none. */
  take(role: string): ConnectionSlot | undefined;
  /** No slot is free: because of `size`, or of `perRole`. */
  full(role: string): 'size' | 'role' | undefined;
  /** All that is wanted now. Slots that have been granted beyond it are returned. `held`: connections that serve no other session for long. Default 0. */
  want(wants: ReadonlyMap<string, SlotWant>, held?: number): void;
  /** The slot that has to be returned. */
  readonly recall: SlotRecall | undefined;
  /** It will be: its connection is being closed. */
  answered(): void;
  /** There is no idle connection for a recall of a spare one. */
  noneSpare(): void;
  /** The pool is not used any more. */
  close(): void;
}

/** Listening sockets that the parent lends to a worker, which accepts as many connections from each as it was told. */
import { closeSync, openSync } from 'node:fs';
import { acceptFrom } from '../../net/bound-socket.ts';
import type { BoundHandle } from '../../net/bound-socket.ts';
import type { FromWorker, LifeTold } from '../messages.ts';

type Lend = Extract<LifeTold, { readonly t: 'lend' }>;
type Accepted = Extract<FromWorker, { readonly t: 'accepted' }>;

/** What uses the connections. */
export interface LentListenersParts {
  readonly send: (message: FromWorker) => void;
  /** Whether a listener, or `admin`, lets connections in. */
  readonly lets: (listener: string | undefined) => boolean;
  readonly take: (connection: object, listener: string | undefined) => void;
  /** So many connections of a listener that closes were held back, and are closed. */
  readonly lost: (connections: number, listener: string | undefined) => void;
}

interface Loan extends Lend {
  readonly handle: BoundHandle;
  accepted: number;
}

/** A handle of net, as far as it is used here. */
interface SocketHandle {
  close(): void;
  getpeername?(out: { address?: string }): number;
}

/** A connection whose address is held back. */
interface Held {
  readonly listener: string | undefined;
  readonly timer: NodeJS.Timeout;
}

/** How long a connection waits whose address is held back, in milliseconds. */
const HOLD_MS = 10_000;

/** One per worker. */
export class LentListeners {
  readonly #parts: LentListenersParts;
  readonly #loans = new Map<number, Loan>();
  readonly #held = new Map<SocketHandle, Held>();
  #accepted = 0;

  constructor(parts: LentListenersParts) {
    this.#parts = parts;
  }

  /** Connections so far. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Connections that are held back now. */
  get held(): number {
    return this.#held.size;
  }

  lend(message: Lend, handle: BoundHandle): void {
    const { n, listener, confirm } = message;
    const loan = { ...message, handle, accepted: 0 };
    this.#loans.set(n, loan);
    if (!this.#parts.lets(listener)) return this.#end(loan, { closed: true });
    // With the last descriptor it would accept nothing: libuv closes all connections that wait then.
    if (!isDescriptorLeft()) return this.#end(loan, { full: true });
    const error = acceptFrom(handle, (connection) => this.#heard(loan, connection));
    if (error !== undefined) return this.#end(loan, { error });
    if (confirm) this.#parts.send({ t: 'listens', n });
  }

  /** Whether it has the socket of this number. */
  has(n: number): boolean {
    return this.#loans.has(n);
  }

  /**
   * Returns all of them where no descriptor is left any more: libuv accepts and closes whatever waits then, and tells nobody. A client of the time
   * between is closed; who comes later waits in the kernel's queue, or for another worker.
   */
  look(): void {
    if (this.#loans.size === 0 || isDescriptorLeft()) return;
    for (const loan of this.#loans.values()) this.#end(loan, { full: true });
  }

  /** Accepts no more. */
  reclaim(n: number): void {
    const loan = this.#loans.get(n);
    if (loan) this.#end(loan);
  }

  /** The listener lets none in any more. */
  close(listener: string | undefined): void {
    for (const loan of this.#loans.values())
      if (loan.listener === listener) this.#end(loan, { closed: true });
    const held = [...this.#held].filter(([, one]) => one.listener === listener);
    for (const [connection, { timer }] of held) {
      clearTimeout(timer);
      connection.close();
      this.#held.delete(connection);
    }
    if (held.length > 0) this.#parts.lost(held.length, listener);
  }

  /** Accepts no more from any: the next parent could not have the addresses while a socket of this one listens there. */
  leave(): void {
    for (const loan of this.#loans.values()) this.#end(loan);
  }

  #heard(loan: Loan, connection: object | undefined): void {
    if (!connection) return this.#end(loan, { full: true });
    const address = addressOf(connection, loan);
    loan.accepted += 1;
    this.#accepted += 1;
    // Before anything is read: what kills this process is known by it.
    if (loan.accepted === loan.accepts) this.#end(loan, address === undefined ? {} : { address });
    if (address !== undefined && loan.held?.includes(address)) this.#hold(connection as SocketHandle, loan);
    else this.#parts.take(connection, loan.listener);
  }

  #hold(connection: SocketHandle, { listener }: Loan): void {
    const timer = setTimeout(() => {
      this.#held.delete(connection);
      this.#parts.take(connection, listener);
    }, HOLD_MS);
    this.#held.set(connection, { listener, timer: timer.unref() });
  }

  #end(
    { n, handle, accepted }: Loan,
    more: Pick<Accepted, 'address' | 'full' | 'closed' | 'error'> = {},
  ): void {
    if (!this.#loans.delete(n)) return;
    handle.close();
    this.#parts.send({ t: 'accepted', n, count: accepted, ...more });
  }
}

/** Asked for only where it is told: undefined for a loan of many connections, and for a unix socket. */
function addressOf(connection: object, { accepts, held }: Loan): string | undefined {
  if (accepts !== 1 && !held?.length) return undefined;
  const out: { address?: string } = {};
  (connection as SocketHandle).getpeername?.(out);
  return out.address;
}

function isDescriptorLeft(): boolean {
  try {
    closeSync(openSync('/dev/null', 'r'));
    return true;
  } catch {
    return false;
  }
}

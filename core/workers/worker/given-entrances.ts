/** Entrances of a worker: connections come from sockets of its parent process. */
import type { Entrance } from '../../net/entrance.ts';
import type { Address } from '../../net/listening.ts';
import { channelOn } from '../../net/shared-read.ts';
import type { AdminEntrance, Entrances } from '../entrances.ts';

/** A handle of net, as far as it is used here. */
interface SocketHandle {
  close(): void;
}

type Take = (handle: object) => void;

/** The sockets of the parent. */
export interface GivenSockets {
  readonly listeners: Readonly<Record<string, Address>>;
  readonly admin?: Address | undefined;
  /** No connection of this listener, or `admin`, is let in any more. */
  readonly closed: (listener: string | undefined) => void;
}

/** One per worker. */
export class GivenEntrances implements Entrances {
  readonly admin: AdminEntrance | undefined;
  readonly #sockets: GivenSockets;
  readonly #listeners = new Map<string, Take>();
  #takesAdmin: Take | undefined;

  constructor(sockets: GivenSockets) {
    this.#sockets = sockets;
    this.admin = sockets.admin && {
      address: sockets.admin,
      open: (accepted) => void (this.#takesAdmin = accepted),
      close: () => {
        this.#takesAdmin = undefined;
        sockets.closed(undefined);
      },
    };
  }

  of({
    name,
    host,
    port,
  }: {
    readonly name: string;
    readonly host: string;
    readonly port: number;
  }): Entrance {
    const address = this.#sockets.listeners[name] ?? { host, port };
    const listeners = this.#listeners;
    return {
      get bound() {
        return listeners.has(name);
      },
      get address() {
        return listeners.has(name) ? address : undefined;
      },
      open(accepted) {
        listeners.set(name, (handle) => accepted(channelOn(handle)));
        return Promise.resolve(address);
      },
      close: () => {
        listeners.delete(name);
        this.#sockets.closed(name);
      },
    };
  }

  /** Whether connections of a listener, or of `admin`, are let in. */
  lets(listener: string | undefined): boolean {
    return listener === undefined ? this.#takesAdmin !== undefined : this.#listeners.has(listener);
  }

  /** A connection has come; without a listener it is one of `admin`. It is closed where none is let in. */
  take(handle: object, listener: string | undefined): void {
    const take = listener === undefined ? this.#takesAdmin : this.#listeners.get(listener);
    if (take) take(handle);
    else (handle as SocketHandle).close();
  }
}

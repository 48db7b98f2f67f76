/**
 * A socket that one process binds and in which others listen and accept: what they have not accepted outlives each of them.
 * net has no interface for that; its handles are those that node:cluster sends to its workers.
 */
import { lookup } from 'node:dns/promises';
import net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { ConfigError } from '../contract/errors.ts';
import { cannotListen } from './listening.ts';
import type { Address } from './listening.ts';
import { refuseOtherKind } from './entrance.ts';
import type { Place } from './entrance.ts';
import { UnixSocket } from './unix-socket.ts';

/** The handle of a bound socket. It can be sent to another process, which has a descriptor of its own then. */
export interface BoundHandle {
  close(): void;
}

/** A handle of net, as far as it is used here. Numbers below zero are errors of the system. */
interface RawHandle extends BoundHandle {
  onconnection?: (error: number, handle?: object) => void;
  listen(backlog: number): number;
  getsockname?(out: { port?: number }): number;
}

const CREATE = '_createServerHandle';

interface Undocumented {
  /** Binds, or takes `descriptor`, which is bound; a path has port and family -1. */
  [CREATE](host: string | null, port: number, family: 4 | 6 | -1, descriptor?: number): RawHandle | number;
}

/**
 * What does not fit is sent again by its client after a second, and then after three. The system may have a lower limit (listen(2), somaxconn).
 */
const BACKLOG = 4_096;

function errorOf(number: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(number);
  return Object.assign(new Error(code), { code });
}

async function createHandle(
  { host, port, descriptor }: Place,
  path: string | undefined,
): Promise<RawHandle | number> {
  const undocumented = net as unknown as Undocumented;
  if (descriptor !== undefined) return undocumented[CREATE](null, 0, -1, descriptor);
  if (path !== undefined) return undocumented[CREATE](path, -1, -1);
  const { address, family } = await lookup(host);
  return undocumented[CREATE](address, port, family === 6 ? 6 : 4);
}

async function bound(place: Place, path: string | undefined): Promise<RawHandle> {
  const handle = await createHandle(place, path);
  if (typeof handle === 'number') throw errorOf(handle);
  return handle;
}

/** One per listener of a parent process. */
export class BoundSocket {
  readonly #place: Place;
  readonly #unixSocket: UnixSocket | undefined;
  #handle: BoundHandle | undefined;
  #address: Address | undefined;

  constructor(place: Place) {
    this.#place = place;
    if (place.descriptor === undefined)
      this.#unixSocket = place.unixSocket && new UnixSocket(place.unixSocket);
  }

  /** Undefined where it is not bound. */
  get handle(): BoundHandle | undefined {
    return this.#handle;
  }

  get address(): Address | undefined {
    return this.#address;
  }

  /** The address with the port that the system has chosen for 0. @throws ConfigError when it cannot be had */
  async bind(): Promise<Address> {
    const { host, port } = this.#place;
    const unixSocket = this.#unixSocket;
    await unixSocket?.claim();
    let handle: RawHandle | undefined;
    try {
      handle = await bound(this.#place, unixSocket?.bindFile);
      const out: { port?: number } = {};
      // That the address is in use shows only now (uv_tcp_bind).
      const error = handle.getsockname?.(out) ?? 0;
      if (error < 0 && !unixSocket) throw errorOf(error);
      refuseOtherKind(this.#place, handle.getsockname === undefined);
      unixSocket?.publish();
      this.#handle = handle;
      return (this.#address = { host, port: out.port ?? port });
    } catch (error) {
      unixSocket?.release();
      handle?.close();
      throw error instanceof ConfigError ? error : this.cannotListen(error as NodeJS.ErrnoException);
    }
  }

  /** The error of a config with this place. */
  cannotListen(error: NodeJS.ErrnoException): Error {
    const { what, host, port } = this.#place;
    return cannotListen(error, what, host, port);
  }

  /** Can be called again. */
  close(): void {
    this.#unixSocket?.release();
    this.#handle?.close();
    this.#handle = undefined;
  }
}

/**
 * Accepts from a handle until it is closed: `accepted` gets the handle of each connection, of which nothing is read, or the name of an error,
 * as where no descriptor is left. @returns the name of the error where it cannot listen
 */
export function acceptFrom(
  handle: BoundHandle,
  accepted: (connection: object | undefined, error?: string) => void,
): string | undefined {
  const raw = handle as RawHandle;
  raw.onconnection = (error, connection) =>
    error < 0 ? accepted(undefined, getSystemErrorName(error)) : accepted(connection);
  const error = raw.listen(BACKLOG);
  return error < 0 ? getSystemErrorName(error) : undefined;
}

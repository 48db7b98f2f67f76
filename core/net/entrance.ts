/** Where the connections of a listener come from: a socket of this process, or one of the parent process. */
import type { Server } from 'node:net';
import { ConfigError } from '../contract/errors.ts';
import type { Channel } from './channel.ts';
import { listening } from './listening.ts';
import type { Address } from './listening.ts';
import { listenShared } from './shared-read.ts';
import { UnixSocket } from './unix-socket.ts';
import type { UnixSocketOptions } from './unix-socket.ts';

/** One way in. */
export interface Entrance {
  /** Connections come in. */
  readonly bound: boolean;
  /** Where; undefined where it is not bound. */
  readonly address: Address | undefined;
  /** Lets connections in; `failed` hears of those that are lost. @throws ConfigError when the address cannot be had */
  open(accepted: (connection: Channel) => void, failed: (error: Error) => void): Promise<Address>;
  /** Lets none in any more. Those that are there stay. Can be called again. */
  close(): void;
}

/** Where a socket of this process listens. */
export interface Place {
  /** Where it stands in the config, for messages: `listen 'default'`. */
  readonly what: string;
  /** An address, or the folder of a unix socket. */
  readonly host: string;
  readonly port: number;
  /** Undefined: it is TCP. */
  readonly unixSocket: UnixSocketOptions | undefined;
  /** The descriptor of a socket that is bound already, of either kind. Default: this process binds it. */
  readonly descriptor?: number | undefined;
}

/** The place of a listener of the config. */
export function placeOf({
  path,
  name,
  host,
  port,
  mode,
}: {
  readonly path: string;
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly mode: number | undefined;
}): Place {
  const file = `.s.PGSQL.${port}`;
  const unixSocket = mode === undefined ? undefined : { path, folder: host, name: file, port, mode };
  return { what: `listen '${name}'`, host, port, unixSocket };
}

/** `isUnix`: what was passed. @throws ConfigError where the listener was meant for the other kind, with its own rules for who may come */
export function refuseOtherKind({ what, unixSocket, descriptor }: Place, isUnix: boolean): void {
  if (descriptor === undefined || isUnix === (unixSocket !== undefined)) return;
  const [is, wanted] = isUnix ? ['a unix socket', 'TCP'] : ['TCP', 'a unix socket'];
  throw new ConfigError(`${what}: the socket that was passed is ${is}, and the config says ${wanted}`);
}

/** A socket of this process. */
class OwnEntrance implements Entrance {
  readonly #place: Place;
  readonly #unixSocket: UnixSocket | undefined;
  #server: Server | undefined;

  constructor(place: Place) {
    this.#place = place;
    if (place.descriptor === undefined)
      this.#unixSocket = place.unixSocket && new UnixSocket(place.unixSocket);
  }

  get bound(): boolean {
    return this.#server?.listening ?? false;
  }

  get address(): Address | undefined {
    if (!this.bound) return undefined;
    const address = this.#server?.address();
    const { host, port } = this.#place;
    return typeof address === 'object' && address
      ? { host: address.address, port: address.port }
      : { host, port };
  }

  async open(accepted: (connection: Channel) => void, failed: (error: Error) => void): Promise<Address> {
    const { what, host, port, descriptor: fd } = this.#place;
    const unixSocket = this.#unixSocket;
    await unixSocket?.claim();
    const ownPlace = unixSocket ? { path: unixSocket.bindFile } : { host, port };
    const where = fd === undefined ? ownPlace : { fd };
    const server = listenShared(where, accepted);
    try {
      const address = await listening(server, what, host, port);
      refuseOtherKind(this.#place, typeof server.address() !== 'object' || server.address() === null);
      unixSocket?.publish();
      // Such as EMFILE: the connection is lost, the listener goes on.
      server.on('error', failed);
      this.#server = server;
      return address;
    } catch (error) {
      unixSocket?.release();
      server.close();
      throw error;
    }
  }

  close(): void {
    this.#unixSocket?.release();
    this.#server?.close();
  }
}

/** A socket that this process binds, and accepts from. */
export const ownEntrance = (place: Place): Entrance => new OwnEntrance(place);

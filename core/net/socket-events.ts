/** Tells the owner of a socket of its events. All sockets share the same listeners: closures would cost each of them memory. */
import type { Socket } from 'node:net';
import type { StreamSocket } from './stream-socket.ts';

/** What a channel is made of. */
export type ChannelSocket = Socket | StreamSocket;

/** Gets the events of one socket. */
export interface SocketOwner {
  readonly socket: ChannelSocket;
  receive(chunk: Buffer): boolean;
  drained(): void;
  failed(error: Error): void;
  /** The peer sends nothing more. */
  inputEnded(): void;
  /** The socket is gone. */
  ended(): void;
}

const OWNER = Symbol('owner');

type Owned = ChannelSocket & { [OWNER]?: SocketOwner };

const onData = function (this: Owned, chunk: Buffer): void {
  this[OWNER]?.receive(chunk);
};
const onDrain = function (this: Owned): void {
  this[OWNER]?.drained();
};
const onError = function (this: Owned, error: Error): void {
  this[OWNER]?.failed(error);
};
const onEnd = function (this: Owned): void {
  this[OWNER]?.inputEnded();
};
const onClose = function (this: Owned): void {
  this[OWNER]?.ended();
};

/** Attaches the listeners. With `onread` the bytes come through {@link ownerOf} instead of `data` events. */
export function attend(owner: SocketOwner, reads: 'events' | 'onread'): void {
  const socket: Owned = owner.socket;
  socket[OWNER] = owner;
  if (reads === 'events') {
    socket.on('data', onData);
    socket.pause();
  }
  socket.on('drain', onDrain).on('error', onError).on('end', onEnd).on('close', onClose);
}

/** The owner of a socket. */
export function ownerOf(socket: ChannelSocket): SocketOwner | undefined {
  return (socket as Owned)[OWNER];
}

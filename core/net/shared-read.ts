/** Reads through net's `onread` into one buffer for the whole process: no allocation per read, none per idle socket. */
import net from 'node:net';
import type { ListenOptions, NetConnectOpts, OnReadOpts, Server, Socket } from 'node:net';
import { Channel, READ_BYTES } from './channel.ts';
import { ownerOf } from './socket-events.ts';

const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** Lengths of which the view is kept: one that is made for each read would be garbage at once. */
const SHORT_BYTES = 1_024;
/** Beginnings of the buffer by length. */
const beginnings: (Buffer | undefined)[] = [];

function beginning(length: number): Buffer {
  return length > SHORT_BYTES
    ? shared.subarray(0, length)
    : (beginnings[length] ??= shared.subarray(0, length));
}

/** Node calls `callback` as a method of the socket, so that one function serves all sockets. */
const onread: OnReadOpts = {
  buffer: shared,
  callback(this: Socket | undefined, length: number): boolean {
    const owner = this && ownerOf(this);
    return owner?.receive(beginning(length)) ?? false;
  },
};

/** Opens a connection; the channel exists at once, the socket connects later. */
export function connectShared(options: NetConnectOpts): Channel<Socket> {
  return new Channel(net.connect({ ...options, onread } as NetConnectOpts), 'onread');
}

const HANDLE = '_handle';

interface WithHandle {
  [HANDLE]: { onconnection?: unknown } | null;
}

/** The callback for a new connection: an error code, or 0 and the handle. */
type Connected = (this: unknown, error: number, handle: unknown) => void;

/** The channel on the handle of an accepted connection, which is read only once the channel is. */
export function channelOn(handle: object): Channel {
  const options = { handle, onread, pauseOnCreate: true, allowHalfOpen: true };
  return new Channel(new net.Socket(options), 'onread');
}

/** net would build a socket on each accepted handle, a third of the cost of an accept, for us to build another one. */
function takeHandles(server: Server, accepted: (handle: object) => void): void {
  const listening = (server as unknown as WithHandle)[HANDLE];
  const before = listening?.onconnection;
  if (!listening || typeof before !== 'function') return;
  const connected: Connected = function (error, handle) {
    if (error === 0 && typeof handle === 'object' && handle !== null) accepted(handle);
    else (before as Connected).call(this, error, handle);
  };
  listening.onconnection = connected;
}

/**
 * A server whose connections arrive as paused channels. `close()` stops listening; its callback never waits for them.
 * net gives accepted sockets no `onread`, so they are built here on their handles, which is not documented: where a future
 * Node has no such handles, plain `data` events do the same work with an allocation per read.
 */
export function listenShared(
  options: ListenOptions | { readonly fd: number },
  accepted: (channel: Channel) => void,
): Server {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    accepted(new Channel(socket));
  });
  server.once('listening', () => takeHandles(server, (handle) => accepted(channelOn(handle))));
  return server.listen(options as ListenOptions);
}

/** Reads through net's `onread` into one buffer for the whole process: no allocation per read, none per idle socket. */
import net from 'node:net';
import type { ListenOptions, NetConnectOpts, OnReadOpts, Server, Socket } from 'node:net';
import { Channel, READ_BYTES } from './channel.ts';

const shared = Buffer.allocUnsafeSlow(READ_BYTES);

function onread(channel: () => Channel | undefined): OnReadOpts {
  return {
    buffer: shared,
    callback: (length, buffer) => channel()?.receive((buffer as Buffer).subarray(0, length)) ?? false,
  };
}

/** Opens a connection; the channel exists at once, the socket connects later. */
export function connectShared(options: NetConnectOpts): Channel {
  let channel: Channel | undefined;
  const socket = net.connect({ ...options, onread: onread(() => channel) } as NetConnectOpts);
  channel = new Channel(socket, 'onread');
  return channel;
}

const HANDLE = '_handle';

interface WithHandle {
  [HANDLE]: unknown;
}

/**
 * Moves an accepted socket (of a server with `pauseOnConnect`) to one that reads into the shared buffer.
 * net gives accepted sockets no `onread`, so the new one is built on the same handle, which is not documented:
 * where a future Node has no such handle, plain `data` events do the same work with an allocation per read.
 */
export function acceptShared(accepted: Socket): Channel {
  const owner = accepted as unknown as WithHandle;
  const handle = owner[HANDLE];
  if (typeof handle !== 'object' || handle === null) return new Channel(accepted);
  let channel: Channel | undefined;
  const options = { handle, onread: onread(() => channel), pauseOnCreate: true };
  owner[HANDLE] = null;
  const socket = new net.Socket(options as ConstructorParameters<typeof net.Socket>[0]);
  channel = new Channel(socket, 'onread');
  return channel;
}

/** A server whose connections arrive as paused channels. `close()` stops listening; its callback never waits for them. */
export function listenShared(options: ListenOptions, accepted: (channel: Channel) => void): Server {
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    accepted(acceptShared(socket));
  });
  return server.listen(options);
}

/** Session mode without a gateway: bytes go from one socket to the other, which log in through it. */
import { readFileSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import tls from 'node:tls';
import { Channel } from '../../../core/net/channel.ts';
import { connectShared, listenShared } from '../../../core/net/shared-read.ts';
import type { FloorOptions } from './floor.ts';

function join(client: Channel, { host, port }: FloorOptions['server']): void {
  const server = connectShared({ host, port });
  const forward = (from: Channel, to: Channel): void => {
    from.listen({
      bytes: (chunk) => {
        if (!to.writeCopy(chunk, 0, chunk.length)) from.halt();
      },
      drained: () => to.resume(),
      closed: () => to.destroy(),
    });
    from.resume();
  };
  server.socket.once('connect', () => {
    forward(client, server);
    forward(server, client);
  });
}

/** Listens on a free port of loopback. */
export function relay({ server, tls: files }: FloorOptions): Server {
  const secure = files && tls.createServer({ cert: readFileSync(files.cert), key: readFileSync(files.key) });
  secure?.on('secureConnection', (socket) => join(new Channel(socket), server));
  return listenShared({ host: '127.0.0.1', port: 0 }, (client) => {
    if (!secure) return join(client, server);
    client.listen({
      bytes() {
        // SSLRequest is the only thing that this client says before TLS.
        client.halt();
        client.write(Buffer.from('S'));
        queueMicrotask(() => secure.emit('connection', client.socket as Socket));
      },
      drained() {},
      closed() {},
    });
    client.resume();
  });
}

/** A TCP proxy whose server answers late: each chunk of an answer waits, in order, for as long as it is told. */
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';

/** A forwarding port. */
export interface LateProxy {
  readonly port: number;
  /** How late answers are, in milliseconds. */
  lateness: number;
  /** Resolves when it listens no more; what is connected is cut. */
  close(): Promise<void>;
}

/** In front of the server at `port`. Close it in `afterAll`. */
export async function lateProxy(port: number): Promise<LateProxy> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const upstream = net.connect(port, '127.0.0.1');
    client.pipe(upstream);
    upstream.on('data', (chunk) => setTimeout(() => client.write(chunk), proxy.lateness));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => (sockets.delete(one), other.destroy()));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: LateProxy = {
    port: (server.address() as AddressInfo).port,
    lateness: 0,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

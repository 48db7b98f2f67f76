/** A TCP proxy in front of servers, as a virtual IP or a load balancer is: it moves, and the connections that it has stay. */
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';

/** A server behind it. */
export interface Behind {
  readonly host: string;
  readonly port: number;
}

/** A forwarding port. */
export interface MovingProxy {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** Connections made so far to each server, by port. */
  readonly made: ReadonlyMap<number, number>;
  /** New connections go there: with several, to one after the other. */
  move(...to: readonly Behind[]): void;
  /** Resolves when it listens no more; what is connected is cut. */
  close(): Promise<void>;
}

/** Forwards to `first` until it is moved. Close it in `afterAll`. */
export async function movingProxy(...first: readonly Behind[]): Promise<MovingProxy> {
  let targets = first;
  let turn = 0;
  const made = new Map<number, number>();
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const to = targets[(turn += 1) % targets.length];
    if (!to) return void client.destroy();
    made.set(to.port, (made.get(to.port) ?? 0) + 1);
    const upstream = net.connect(to.port, to.host);
    for (const [from, into] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.pipe(into);
      from.on('error', () => into.destroy());
      from.on('close', () => (sockets.delete(from), into.destroy()));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    made,
    move: (...to) => void (targets = to),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Stands in front of a test server and counts who came: proof that a refused login never reached PostgreSQL. */
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';

/** A forwarding port. */
export interface CountingProxy {
  readonly host: string;
  readonly port: number;
  /** Connections so far. */
  readonly count: () => number;
  readonly close: () => void;
}

/** Forwards every connection to a server. Close it in `afterAll`. */
export async function countingProxy(to: { host: string; port: number }): Promise<CountingProxy> {
  let connections = 0;
  const server = net.createServer((client) => {
    connections += 1;
    const upstream = net.connect(to.port, to.host);
    for (const [from, into] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.pipe(into);
      from.on('error', () => into.destroy());
      from.on('close', () => into.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { host: '127.0.0.1', port, count: () => connections, close: () => void server.close() };
}

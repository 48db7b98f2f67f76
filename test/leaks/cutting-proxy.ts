/** Stands between the gateway and PostgreSQL, and cuts connections: anywhere, also within a message. */
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Random } from './random.ts';

/** A connection is cut after so many bytes at most, in either direction. */
const LONGEST_LIFE = 400_000;

/** A forwarding port. */
export class CuttingProxy {
  /** How many connections it has cut. */
  cuts = 0;
  readonly port: number;
  readonly #server: net.Server;
  readonly #pairs = new Map<net.Socket, net.Socket>();

  private constructor(server: net.Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** Forwards to a port of this machine. */
  static async start(to: number, random: Random): Promise<CuttingProxy> {
    let proxy: CuttingProxy | undefined;
    const server = net.createServer((client) => proxy?.forward(client, to, random));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    proxy = new CuttingProxy(server);
    return proxy;
  }

  /** Local ports of the connections to PostgreSQL: `pg_stat_activity.client_port`. */
  get ports(): readonly number[] {
    return [...this.#pairs.values()].flatMap(({ localPort }) => (localPort === undefined ? [] : [localPort]));
  }

  /** Cuts one connection now. */
  cut(random: Random): void {
    const all = [...this.#pairs];
    if (all.length === 0) return;
    const [client, upstream] = random.pick(all);
    this.#end(client, upstream, random);
  }

  async close(): Promise<void> {
    for (const [client, upstream] of this.#pairs) {
      client.destroy();
      upstream.destroy();
    }
    this.#server.close();
    await once(this.#server, 'close');
  }

  forward(client: net.Socket, to: number, random: Random): void {
    const upstream = net.connect({ port: to, host: '127.0.0.1', noDelay: true });
    client.setNoDelay(true);
    this.#pairs.set(client, upstream);
    let left = 1 + random.below(LONGEST_LIFE);
    for (const [from, into] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('data', (chunk: Buffer) => {
        into.write(chunk.subarray(0, left));
        left -= chunk.length;
        if (left <= 0) this.#end(client, upstream, random);
      });
      from.on('error', () => into.destroy());
      from.on('close', () => {
        into.destroySoon();
        this.#pairs.delete(client);
      });
    }
  }

  #end(client: net.Socket, upstream: net.Socket, random: Random): void {
    if (!this.#pairs.delete(client)) return;
    this.cuts += 1;
    for (const socket of [client, upstream]) {
      socket.removeAllListeners('data');
      if (random.chance(0.5)) socket.destroySoon();
      else socket.resetAndDestroy();
    }
  }
}

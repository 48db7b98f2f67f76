/** One address where clients connect. */
import type { Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Door } from '../client/greet.ts';
import { TlsGate } from '../client/tls.ts';
import type { ResolvedListener } from '../config/resolved.ts';
import { serve } from '../connection.ts';
import type { House } from './house.ts';
import { listening } from './listening.ts';
import type { Address } from './listening.ts';
import type { Channel } from '../net/channel.ts';
import { listenShared } from '../net/shared-read.ts';

/** Accepts connections and has each served. */
export class Listener {
  readonly #config: ResolvedListener;
  readonly #house: House;
  readonly #door: Door;
  readonly #channels = new Set<Channel>();
  #server: Server | undefined;

  /** @throws ConfigError when a certificate cannot be used */
  constructor(config: ResolvedListener, house: House) {
    this.#config = config;
    this.#house = house;
    const tls = config.tls && new TlsGate(config.tls);
    this.#door = { name: config.name, plaintext: config.plaintext, tls };
  }

  get bound(): boolean {
    return this.#server?.listening ?? false;
  }

  get name(): string {
    return this.#config.name;
  }

  /** @throws ConfigError when the address cannot be had */
  async open(): Promise<Address & { readonly name: string }> {
    const { name, host, port } = this.#config;
    const server = listenShared({ host, port }, (channel) => this.#serve(channel));
    const address = await listening(server, `listen '${name}'`, host, port);
    // Such as EMFILE: the connection is lost, the listener goes on.
    server.on('error', (error) => {
      this.#house.sampler.line(() =>
        this.#house.log.error({ listener: name, error: error.message }, 'accept failed'),
      );
    });
    this.#server = server;
    return { name, ...address };
  }

  /** Takes new certificates for the next handshakes. @throws ConfigError, and keeps the old ones */
  reloadCertificates(): void {
    this.#door.tls?.reload();
  }

  /** Stops listening. Who has been told to go may take `graceMs` to read it, then everything is cut off. */
  async close(graceMs: number): Promise<void> {
    this.#server?.close();
    const until = performance.now() + graceMs;
    while (this.#channels.size > 0 && performance.now() < until) await sleep(10);
    for (const channel of this.#channels) channel.destroy();
  }

  #serve(channel: Channel): void {
    this.#channels.add(channel);
    channel.socket.once('close', () => this.#channels.delete(channel));
    void serve(channel, this.#door, this.#house);
  }
}

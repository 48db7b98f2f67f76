/** One address where clients connect. */
import type { Server } from 'node:net';
import type { ResolvedListener } from '../config/resolved.ts';
import { serve } from '../connection.ts';
import type { ConfigVersion } from './config-version.ts';
import { listening } from './listening.ts';
import { UnixSocket } from './unix-socket.ts';
import type { Address } from './listening.ts';
import type { Channel } from '../net/channel.ts';
import { listenShared } from '../net/shared-read.ts';

/** Accepts connections and has each served by the config that is in force at that moment. */
export class Listener {
  readonly #config: Pick<ResolvedListener, 'name' | 'host' | 'port'>;
  readonly #unixSocket: UnixSocket | undefined;
  readonly #inForce: () => ConfigVersion;
  readonly #channels = new Set<Channel>();
  #server: Server | undefined;

  constructor(config: ResolvedListener, inForce: () => ConfigVersion) {
    this.#config = config;
    const { path, host: folder, port, mode } = config;
    this.#unixSocket = mode === undefined ? undefined : new UnixSocket({ path, folder, port, mode });
    this.#inForce = inForce;
  }

  get bound(): boolean {
    return this.#server?.listening ?? false;
  }

  /** Where it listens; undefined where it does not. */
  get address(): Address | undefined {
    const address = this.#server?.address();
    const { host, port } = this.#config;
    if (typeof address === 'string') return { host, port };
    return typeof address === 'object' && address ? { host: address.address, port: address.port } : undefined;
  }

  get name(): string {
    return this.#config.name;
  }

  /** @throws ConfigError when the address cannot be had */
  async open(): Promise<Address & { readonly name: string }> {
    const { name, host, port } = this.#config;
    const unixSocket = this.#unixSocket;
    await unixSocket?.claim();
    const where = unixSocket ? { path: unixSocket.bindFile } : { host, port };
    const server = listenShared(where, (channel) => this.#serve(channel));
    let address: Address;
    try {
      address = await listening(server, `listen '${name}'`, host, port);
      unixSocket?.publish();
    } catch (error) {
      unixSocket?.release();
      server.close();
      throw error;
    }
    // Such as EMFILE: the connection is lost, the listener goes on.
    server.on('error', (error) => {
      this.#inForce().unauthenticatedLog.error({ listener: name, error: error.message }, 'accept failed');
    });
    this.#server = server;
    return { name, ...address };
  }

  /** Stops listening. Open connections stay. */
  close(): void {
    this.#unixSocket?.release();
    this.#server?.close();
  }

  /** No connection is open. */
  get empty(): boolean {
    return this.#channels.size === 0;
  }

  /** Destroys every connection. */
  cutOff(): void {
    for (const channel of this.#channels) channel.destroy();
  }

  #serve(channel: Channel): void {
    channel.join(this.#channels);
    const configVersion = this.#inForce();
    const listener = configVersion.listenerContext(this.name) ?? { name: this.name, plaintext: 'never' };
    void serve(channel, listener, configVersion);
  }
}

/** One address where clients connect. */
import type { ResolvedListener } from '../config/resolved.ts';
import { serve } from '../connection.ts';
import type { ConfigVersion } from './config-version.ts';
import type { Entrance } from '../net/entrance.ts';
import type { Address } from '../net/listening.ts';
import type { Channel } from '../net/channel.ts';
import type { Client } from '../contract/session.ts';

/** Accepts connections and has each served by the config that is in force at that moment. */
export class Listener {
  readonly name: string;
  readonly #entrance: Entrance;
  readonly #inForce: () => ConfigVersion;
  readonly #channels = new Set<Channel>();

  constructor({ name }: Pick<ResolvedListener, 'name'>, entrance: Entrance, inForce: () => ConfigVersion) {
    this.name = name;
    this.#entrance = entrance;
    this.#inForce = inForce;
  }

  get bound(): boolean {
    return this.#entrance.bound;
  }

  /** Where it listens; undefined where it does not. */
  get address(): Address | undefined {
    return this.#entrance.address;
  }

  /** @throws ConfigError when the address cannot be had */
  async open(): Promise<Address & { readonly name: string }> {
    const { name } = this;
    const address = await this.#entrance.open(
      (channel) => this.#serve(channel),
      (error) => {
        this.#inForce().unauthenticatedLog.error({ listener: name, error: error.message }, 'accept failed');
      },
    );
    return { name, ...address };
  }

  /** Stops listening. Open connections stay. */
  close(): void {
    this.#entrance.close();
  }

  /** Open connections. */
  get size(): number {
    return this.#channels.size;
  }

  /** Destroys every connection. */
  cutOff(): void {
    for (const channel of this.#channels) channel.destroy();
  }

  /** Serves a connection that has come another way as one of its own; closes it where it would not have come here. */
  accept(channel: Channel, client: Client): void {
    if (this.bound) return this.#serve(channel, client);
    this.#inForce().unauthenticatedLog.info({ ...client, why: 'the listener is closed' }, 'refused');
    channel.destroy();
  }

  #serve(channel: Channel, from?: Client): void {
    channel.join(this.#channels);
    const configVersion = this.#inForce();
    const listener = configVersion.listenerContext(this.name) ?? { name: this.name, plaintext: 'never' };
    void serve(channel, listener, configVersion, from);
  }
}

/** Where the hosts of an entry are, asked again and again: a name may lead elsewhere after a failover. */
import type { HostAddress } from '../../database.ts';
import { fixedAddress, placesOf } from './place.ts';
import type { Place } from './place.ts';

/** How often names are resolved, in milliseconds. */
const EVERY_MS = 1_000;

type Host = Required<HostAddress>;

/** Who hears where hosts are. */
export interface NamesParts {
  readonly hosts: readonly Host[];
  /** Every place that a host has now. */
  found(host: Host, places: readonly Place[]): void;
  /** A name leads nowhere, or the resolver does not answer. */
  lost(host: Host, error: unknown): void;
}

/** Resolves from the start until it is stopped. */
export class Names {
  readonly #parts: NamesParts;
  readonly #asking = new Set<Host>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: NamesParts) {
    this.#parts = parts;
  }

  /** Asks for every host at once, then for those that are names. */
  start(): void {
    if (this.#timer) return;
    const { hosts } = this.#parts;
    this.#timer = setInterval(() => {
      for (const host of hosts) if (!fixedAddress(host)) void this.#ask(host);
    }, EVERY_MS).unref();
    for (const host of hosts) void this.#ask(host);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** One question per name at a time: each one holds a thread of the process until the resolver answers. */
  async #ask(host: Host): Promise<void> {
    if (this.#asking.has(host)) return;
    this.#asking.add(host);
    try {
      const places = await placesOf(host);
      if (this.#timer) this.#parts.found(host, places);
    } catch (error) {
      if (this.#timer) this.#parts.lost(host, error);
    } finally {
      this.#asking.delete(host);
    }
  }
}

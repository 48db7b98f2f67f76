/** Resolves the hosts of an entry again and again: a name may have another address after a failover. */
import type { HostAddress } from '../../contract/database.ts';
import { endpointsOf, fixedAddress } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';

/** How often names are resolved, in milliseconds. */
const EVERY_MS = 1_000;

type Host = Required<HostAddress>;

/** The hosts, and the callbacks for results. */
export interface NameResolutionParts {
  readonly hosts: readonly Host[];
  /** All addresses that a host has now. */
  found(host: Host, endpoints: readonly Endpoint[]): void;
  /** A name has no address, or the resolver does not answer. */
  lost(host: Host, error: unknown): void;
}

/** Resolves from the start until it is stopped. */
export class NameResolution {
  readonly #parts: NameResolutionParts;
  readonly #asking = new Set<Host>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: NameResolutionParts) {
    this.#parts = parts;
  }

  /** Resolves every host at once, then again those that are names. */
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

  /** One query per name at a time: each one blocks a thread of the process until the resolver answers. */
  async #ask(host: Host): Promise<void> {
    if (this.#asking.has(host)) return;
    this.#asking.add(host);
    try {
      const endpoints = await endpointsOf(host);
      if (this.#timer) this.#parts.found(host, endpoints);
    } catch (error) {
      if (this.#timer) this.#parts.lost(host, error);
    } finally {
      this.#asking.delete(host);
    }
  }
}

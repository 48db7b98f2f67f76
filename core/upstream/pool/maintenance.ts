/** Periodic work of a pool: closes connections that are old or unused, keeps the configured minimum open. */
import type { Clock } from '../clock.ts';
import { total } from './pooled-servers.ts';
import type { PooledServer, PooledServers } from './pooled-servers.ts';
import type { Limits } from './limits.ts';
import type { Connector } from './connector.ts';
import type { Isolation } from './isolation.ts';
import type { SlotWants } from './slot-wants.ts';
import type { CheckoutRequest } from './checkout-request.ts';

/** The connections to watch. */
interface PendingClosesParts {
  readonly servers: PooledServers;
  /** Whether connections are closed at check-in. */
  readonly idle: { readonly paused: boolean; readonly retired: boolean };
}

/** Connections that have to be closed, and the callers that wait until they are. One per pool. */
export class PendingCloses {
  readonly #parts: PendingClosesParts;
  readonly #waiting = new Map<() => void, () => boolean>();

  constructor(parts: PendingClosesParts) {
    this.#parts = parts;
  }

  /** Whether one is closed as soon as it is free. */
  mustClose({ outdated }: PooledServer): boolean {
    const { paused, retired } = this.#parts.idle;
    return outdated || paused || retired;
  }

  /** Resolves when no connection is left. */
  all(): Promise<void> {
    return this.#until(() => this.#parts.servers.size === 0);
  }

  /** Resolves when none is left that is closed as soon as it is free. Rejects with the signal's reason. */
  ofReplaced(signal: AbortSignal): Promise<void> {
    return this.#until(() => !this.#parts.servers.all().some((one) => this.mustClose(one)), signal);
  }

  /** A connection was closed or its state changed: resolves the waits that are over. */
  look(): void {
    if (this.#waiting.size === 0) return;
    for (const [told, gone] of this.#waiting) if (gone() && this.#waiting.delete(told)) told();
  }

  #until(gone: () => boolean, signal?: AbortSignal): Promise<void> {
    if (gone()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiting.delete(told);
        reject(signal?.reason as Error);
      };
      const told = (): void => {
        signal?.removeEventListener('abort', giveUp);
        resolve();
      };
      this.#waiting.set(told, gone);
      signal?.addEventListener('abort', giveUp, { once: true });
      if (signal?.aborted) giveUp();
    });
  }
}

/** The parts of the pool that maintenance uses. */
interface MaintenanceParts {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly servers: PooledServers;
  readonly isolation: Isolation;
  readonly connector: Connector;
  /** Default: only this process opens connections for the entry. */
  readonly slots?: SlotWants | undefined;
  close(server: PooledServer): void;
  /** A request is queued. */
  readonly waiting: () => boolean;
  /** Called at each run, for work that depends on time alone. */
  looked(): void;
}

/** Times between two runs, in milliseconds. */
const [SHORTEST, LONGEST] = [10, 1_000];

/**
 * Periodic work of a pool: closes connections that are old or unused, and keeps the configured minimum open. One per
 * pool. Its timer runs while there are connections.
 */
export class Maintenance {
  /** False: {@link Limits.min} does not apply. */
  keepsMinimum = true;
  readonly #parts: MaintenanceParts;
  /** Keys with connections to keep open, the latest used last. */
  readonly #keptOpen = new Map<string, CheckoutRequest>();
  #stop: (() => void) | undefined;

  constructor(parts: MaintenanceParts) {
    this.#parts = parts;
  }

  /** A connection is opened for a session: from now on connections of its key are kept open, and the timer runs. */
  used(checkout: CheckoutRequest): void {
    const { min, size, idleMs, lifetimeMs } = this.#parts.limits;
    const ms = Math.min(Math.max(Math.min(idleMs, lifetimeMs) / 4, SHORTEST), LONGEST);
    this.#stop ??= this.#parts.clock.every(ms, () => this.look());
    if (min === 0 || !checkout.key.pooled) return;
    this.#keptOpen.delete(checkout.key.text);
    this.#keptOpen.set(checkout.key.text, withoutSession(checkout));
    const most = Math.max(1, Math.floor(size / min));
    for (const text of this.#keptOpen.keys()) if (this.#keptOpen.size > most) this.#keptOpen.delete(text);
  }

  /** One run. */
  look(): void {
    const { limits, clock, servers, isolation, waiting } = this.#parts;
    const now = clock.now();
    for (const server of servers.all('idle')) {
      const spare = this.#alive(server.key.text) > (this.#keepsMinimum(server) ? limits.min : 0);
      if (
        now >= server.expiresAt ||
        isolation.exhausted(server) ||
        (spare && now - server.idleSince >= limits.idleMs)
      )
        this.#parts.close(server);
    }
    this.openMinimum();
    this.#parts.looked();
    if (servers.size === 0 && !waiting() && (!this.keepsMinimum || this.#keptOpen.size === 0)) this.stop();
  }

  /** Opens the connections that the minimum lacks. */
  openMinimum(): void {
    const { slots } = this.#parts;
    const open = (): void => {
      if (this.keepsMinimum) for (const checkout of this.#keptOpen.values()) this.#openMissing(checkout);
    };
    if (slots) slots.openMinimum(open);
    else open();
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #keepsMinimum({ key }: PooledServer): boolean {
    return this.keepsMinimum && this.#keptOpen.has(key.text);
  }

  #openMissing(checkout: CheckoutRequest): void {
    const { limits, servers, connector } = this.#parts;
    const { role, text } = checkout.key;
    while (
      this.#alive(text) < limits.min &&
      servers.size < limits.size &&
      total(servers.ofRole(role)) < limits.perRole &&
      !connector.busy &&
      !connector.refusal(role) &&
      connector.begin(checkout)
    );
  }

  #alive(text: string): number {
    const counts = this.#parts.servers.ofKey({ text });
    return total(counts) - counts.closing;
  }
}

/** Without references to the session, which may end before the connection. */
function withoutSession({ key, owner, request }: CheckoutRequest): CheckoutRequest {
  const { database, upstream } = request;
  const noStartup = { user: '', database: '', parameters: {} };
  return {
    key,
    owner: { ...owner, holder: undefined },
    request: { database, upstream: { ...upstream, onCheckout: [] }, startup: noStartup, signal: NEVER },
  };
}

const NEVER = new AbortController().signal;

/** How fast connections may be opened: a number per second, and pauses while the server is down. */
import { GatewayError } from '../contract/errors.ts';
import type { Condition } from '../contract/errors.ts';
import type { Clock } from './clock.ts';
import { pauseAfter } from './pause.ts';

/** The options of the connect rate. */
interface ConnectRateParts {
  /** Most openings that begin within any second. */
  readonly rate: number;
  readonly clock: Clock;
  /** Called when one may begin again. */
  ready(): void;
}

const SECOND_MS = 1_000;
/** How often the end of a wait is checked, in milliseconds. */
const POLL_MS = 20;

/** Errors of a login at a server that is down, starting, stopping or full. */
const UNAVAILABLE: ReadonlySet<Condition> = new Set<Condition>([
  'sqlclient_unable_to_establish_sqlconnection',
  'cannot_connect_now',
  'too_many_connections',
  'admin_shutdown',
  'crash_shutdown',
]);

/**
 * Limits how fast connections are opened: a number per second, and pauses of random length while the server is down. One
 * per pool.
 */
export class ConnectRate {
  readonly #parts: ConnectRateParts;
  /** When the openings of the last second began, the oldest first. */
  #begun: number[] = [];
  #failures = 0;
  /** By the clock: when the rate permits another opening, and when the pause is over. */
  #roomAt = 0;
  #restedAt = 0;
  #stop: (() => void) | undefined;

  constructor(parts: ConnectRateParts) {
    this.#parts = parts;
  }

  /** Whether an opening may begin now. */
  get open(): boolean {
    return this.#parts.clock.now() >= Math.max(this.#roomAt, this.#restedAt);
  }

  /** An opening begins. */
  began(): void {
    const { clock, rate } = this.#parts;
    const now = clock.now();
    this.#begun = [...this.#begun.filter((at) => now - at < SECOND_MS), now];
    const [oldest = now] = this.#begun;
    if (this.#begun.length >= rate) this.#roomAt = oldest + SECOND_MS;
    this.#rest();
  }

  succeeded(): void {
    this.#failures = 0;
    this.#restedAt = 0;
  }

  /** An opening ended with `error`. False: it does not concern the server, and causes no pause. */
  failed(error: unknown): boolean {
    if (!(error instanceof GatewayError) || !UNAVAILABLE.has(error.code)) return false;
    this.#failures += 1;
    this.#rest();
    return true;
  }

  /** Stops its timer. */
  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  /** Many gateways and pools must not connect at the same moment to a server that has just started. */
  #rest(): void {
    const { clock } = this.#parts;
    if (this.#failures > 0) this.#restedAt = clock.now() + pauseAfter(this.#failures);
    if (!this.open) this.#stop ??= clock.every(POLL_MS, () => this.#look());
  }

  #look(): void {
    if (!this.open) return;
    this.stop();
    this.#parts.ready();
  }
}

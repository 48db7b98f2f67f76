/** How fast connections may be opened: a number per second, and pauses while the server is down. */
import { GatewayError } from '../errors.ts';
import type { Condition } from '../errors.ts';
import type { Clock } from './clock.ts';

/** The options of the connect rate. */
interface ConnectRateParts {
  /** Most openings that begin within any second. */
  readonly rate: number;
  readonly clock: Clock;
  /** Called when one may begin again. */
  ready(): void;
}

/** The first and the longest pause after a failure, in milliseconds; each is multiplied by a random factor from 0.5 to 1.5. */
const [FIRST_MS, LONGEST_MS] = [20, 500];
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

  /** An opening ended with `error`: one that does not concern the server causes no pause. */
  failed(error: unknown): void {
    if (!(error instanceof GatewayError) || !UNAVAILABLE.has(error.code)) return;
    this.#failures += 1;
    this.#rest();
  }

  /** Stops its timer. */
  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  /** Many gateways and pools must not connect at the same moment to a server that has just started. */
  #rest(): void {
    const { clock } = this.#parts;
    const ms = Math.min(FIRST_MS * 2 ** (this.#failures - 1), LONGEST_MS) * (0.5 + Math.random());
    if (this.#failures > 0) this.#restedAt = clock.now() + ms;
    if (!this.open) this.#stop ??= clock.every(POLL_MS, () => this.#look());
  }

  #look(): void {
    if (!this.open) return;
    this.stop();
    this.#parts.ready();
  }
}

/** The times at which a session has to end: any number, each with its notice; the earliest applies. */
import type { GatewayError } from '../errors.ts';
import { outsidePlugins } from '../hooks/plugin-calls.ts';
import type { EndAtOptions } from '../session.ts';

/** The actions at an appointment, and at its notice. */
export interface EndTimesHost {
  /** A running transaction may take `graceMs` longer. */
  end(error: GatewayError, graceMs: number): void;
  notice(message: string, hint?: string): void;
}

/**
 * Timers run this long at most, in milliseconds, and then compare with the wall clock again: dates may be weeks away
 * (setTimeout counts to 2^31 ms), and the clock may have been set meanwhile.
 */
const LONGEST_NAP = 60_000;

/** The appointments of one session. Their timers do not keep the process alive. */
export class EndTimes {
  readonly #host: EndTimesHost;
  readonly #appointments = new Set<Appointment>();
  #over = false;

  constructor(host: EndTimesHost) {
    this.#host = host;
  }

  /** Times in the past end at once, before this returns. @throws RangeError if `at` is no date */
  add(at: Date, error: GatewayError, how: EndAtOptions): { move(at: Date): void } {
    const appointment = new Appointment(this.#host, error, how);
    this.#appointments.add(appointment);
    const move = (to: Date): void => {
      if (Number.isNaN(to.getTime())) throw new RangeError('endAt: not a valid date');
      if (!this.#over) appointment.move(to.getTime());
    };
    move(at);
    return { move };
  }

  /** Cancels all of them. */
  clear(): void {
    this.#over = true;
    for (const appointment of this.#appointments) appointment.cancel();
    this.#appointments.clear();
  }
}

class Appointment {
  readonly #host: EndTimesHost;
  readonly #error: GatewayError;
  readonly #how: EndAtOptions;
  #at = 0;
  #noticeAt = Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(host: EndTimesHost, error: GatewayError, how: EndAtOptions) {
    this.#host = host;
    this.#error = error;
    this.#how = how;
  }

  move(at: number): void {
    this.#at = at;
    this.#noticeAt = this.#how.noticeMs === undefined ? Infinity : at - this.#how.noticeMs;
    this.#look();
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    clearTimeout(this.#timer);
    const now = Date.now();
    if (now >= this.#at) {
      this.#host.end(this.#error, this.#how.graceMs ?? 0);
      return;
    }
    if (now >= this.#noticeAt) this.#warn();
    const next = Math.min(this.#at, this.#noticeAt) - now;
    this.#timer = outsidePlugins(() => setTimeout(() => this.#look(), Math.min(next, LONGEST_NAP)).unref());
  }

  #warn(): void {
    this.#noticeAt = Infinity;
    const when = new Date(this.#at).toISOString();
    this.#host.notice(`this connection ends at ${when}: ${this.#error.message}`, this.#error.hint);
  }
}

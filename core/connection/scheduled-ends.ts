/** When a session has to end: any number of appointments, each with its notice, the earliest of which counts. */
import type { GatewayError } from '../contract/errors.ts';
import { outsidePlugins } from '../hooks/plugin-calls.ts';
import type { EndAtOptions } from '../contract/session.ts';

/** What happens when an appointment is near or there. */
export interface ScheduledEndsHost {
  /** A running transaction may take `graceMs` longer. */
  endWithin(graceMs: number, error: GatewayError): void;
  notice(message: string, hint?: string): void;
}

/**
 * Timers run this long at most, in milliseconds, and then compare with the wall clock again: dates may be weeks away
 * (setTimeout counts to 2^31 ms), and the clock may have been set meanwhile.
 */
const LONGEST_TIMER_MS = 60_000;

/** Appointments that are farther away, of all sessions, share one timer: one of its own would cost each session 300 bytes. */
const distant = new Set<ScheduledEnd>();
let round: NodeJS.Timeout | undefined;

function goRound(): void {
  round = undefined;
  for (const scheduledEnd of distant) scheduledEnd.look();
}

/** The appointments of one session. Their timers do not keep the process alive. */
export class ScheduledEnds {
  readonly #host: ScheduledEndsHost;
  #latest: ScheduledEnd | undefined;
  #over = false;

  constructor(host: ScheduledEndsHost) {
    this.#host = host;
  }

  /** Times in the past end at once, before this returns. @throws RangeError if `at` is no date */
  add(at: Date, error: GatewayError, how: EndAtOptions): { move(at: Date): void } {
    const scheduledEnd = new ScheduledEnd(this.#host, error, how, this.#latest);
    if (this.#over) scheduledEnd.cancel();
    else this.#latest = scheduledEnd;
    scheduledEnd.move(at);
    return scheduledEnd;
  }

  /** Forgets all of them. */
  clear(): void {
    this.#over = true;
    for (let one = this.#latest; one; one = one.before) one.cancel();
    this.#latest = undefined;
  }
}

class ScheduledEnd {
  /** The one that the session made before. Nearly all sessions have a single one: a list of its own would be larger. */
  readonly before: ScheduledEnd | undefined;
  readonly #host: ScheduledEndsHost;
  readonly #error: GatewayError;
  readonly #how: EndAtOptions;
  #at: number | undefined;
  #noticed = false;
  #over = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    host: ScheduledEndsHost,
    error: GatewayError,
    how: EndAtOptions,
    before: ScheduledEnd | undefined,
  ) {
    this.before = before;
    this.#host = host;
    this.#error = error;
    this.#how = how;
  }

  /** @throws RangeError if `at` is no date */
  move(at: Date): void {
    if (Number.isNaN(at.getTime())) throw new RangeError('endAt: not a valid date');
    if (this.#over) return;
    this.#at = at.getTime();
    this.#noticed = false;
    this.look();
  }

  cancel(): void {
    this.#over = true;
    this.#wait(undefined);
  }

  /** Ends the session if it is time, gives notice if it is time for that, and waits for the next of both. */
  look(): void {
    const now = Date.now();
    const at = this.#at ?? now;
    if (now >= at) {
      this.#wait(undefined);
      this.#host.endWithin(this.#how.graceMs ?? 0, this.#error);
      return;
    }
    const { noticeMs } = this.#how;
    const noticeAt = this.#noticed || noticeMs === undefined ? at : at - noticeMs;
    if (now >= noticeAt && !this.#noticed) this.#warn(at);
    this.#wait((this.#noticed ? at : noticeAt) - now);
  }

  #wait(ms: number | undefined): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#over || ms === undefined || ms <= LONGEST_TIMER_MS) distant.delete(this);
    else distant.add(this);
    if (distant.size === 0) {
      clearTimeout(round);
      round = undefined;
    } else round ??= outsidePlugins(() => setTimeout(goRound, LONGEST_TIMER_MS).unref());
    if (this.#over || ms === undefined || ms > LONGEST_TIMER_MS) return;
    this.#timer = outsidePlugins(() => setTimeout(() => this.look(), ms).unref());
  }

  #warn(at: number): void {
    this.#noticed = true;
    const when = new Date(at).toISOString();
    this.#host.notice(`this connection ends at ${when}: ${this.#error.message}`, this.#error.hint);
  }
}

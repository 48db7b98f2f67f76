/** Statements and bytes of a session: looked at with each statement, charged when it is over. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../../core/index.ts';
import type { Events, MaybePromise, Session, Statement } from '../../core/index.ts';
import type { Counters } from './counters.ts';
import { giveBack, takeAll } from './limiter.ts';
import type { Limiter, Meter } from './limiter.ts';
import { tokenLimit } from './policy.ts';
import { keyOf } from './whose.ts';

/** What one session is measured by; the same objects for each statement. */
interface Gauge {
  readonly meters: readonly Meter[];
  /** Charged when a statement is over. */
  readonly bytes: readonly Meter[];
  /** The log has been told. */
  told: boolean;
}

function metersOf(limiters: readonly Limiter[], session: Session, points: number): readonly Meter[] {
  return limiters.flatMap((limiter) => {
    const key = keyOf(limiter.policy.per, session, session.upstream);
    return key === undefined ? [] : [{ limiter, key, points }];
  });
}

/** One per config. */
export class Statements {
  readonly #gauges = new WeakMap<Session, Gauge>();
  readonly #counters: () => Counters;
  readonly #tokenRates: boolean;

  constructor(counters: () => Counters, tokenRates: boolean) {
    this.#counters = counters;
    this.#tokenRates = tokenRates;
  }

  /** Counts a statement that is about to run. Synchronous in memory, unless it has to wait. @throws GatewayError */
  before(session: Session, { kind }: Statement): MaybePromise<void> {
    // A Parse runs nothing: its Execute does.
    if (kind === 'parse' || kind === 'bind') return undefined;
    const gauge = this.#gaugeOf(session);
    if (gauge.meters.length === 0) return undefined;
    try {
      const answer = takeAll(gauge.meters);
      if (answer instanceof Promise) return this.#later(answer, session, gauge);
      return answer.kind === 'wait' ? this.#wait(answer.ms, session, gauge) : undefined;
    } catch (error) {
      this.#tell(session, gauge, error);
      throw error;
    }
  }

  /** A statement is over: what it and its answer came to is taken from what the next one may use. */
  after({ session, bytesIn, bytesOut }: Events['statement']): void {
    for (const { limiter, key } of this.#gaugeOf(session).bytes) limiter.charge(key, bytesIn + bytesOut);
  }

  /** The session has other rules now. */
  renewed(session: Session): void {
    this.#gauges.delete(session);
  }

  async #later(asked: ReturnType<typeof takeAll>, session: Session, gauge: Gauge): Promise<void> {
    try {
      const answer = await asked;
      if (answer.kind === 'wait') await this.#wait(answer.ms, session, gauge);
    } catch (error) {
      this.#tell(session, gauge, error);
      throw error;
    }
  }

  async #wait(ms: number, { signal }: Session, { meters }: Gauge): Promise<void> {
    try {
      await sleep(Math.ceil(ms), undefined, { signal, ref: false });
    } catch {
      giveBack(meters);
      throw new GatewayError('query_canceled', 'canceling statement due to the end of the session');
    }
  }

  #gaugeOf(session: Session): Gauge {
    const known = this.#gauges.get(session);
    if (known) return known;
    const { limits } = this.#counters();
    const bytes = metersOf(limits.bytes, session, 0);
    const meters = [...metersOf(limits.statements, session, 1), ...this.#ofToken(session), ...bytes];
    const gauge = { meters, bytes, told: false };
    this.#gauges.set(session, gauge);
    return gauge;
  }

  #ofToken(session: Session): readonly Meter[] {
    const text = this.#tokenRates ? session.facts.rules?.rate?.statements : undefined;
    if (text === undefined) return [];
    const { limits, limiter } = this.#counters();
    const own = limiter(tokenLimit('statements', text, limits.statements[0]?.policy));
    return metersOf([own], session, 1).map((meter) => ({ ...meter, key: `${text} ${meter.key}` }));
  }

  /** Once per session: who writes a loop shall not fill a log. */
  #tell({ log }: Session, gauge: Gauge, error: unknown): void {
    if (gauge.told || !(error instanceof GatewayError)) return;
    gauge.told = true;
    log.warn({ plugin: 'rate-limit', sqlstate: error.sqlstate, limit: error.detail }, error.message);
  }
}

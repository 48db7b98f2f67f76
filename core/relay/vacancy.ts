/** What a client's message means while no server connection sits there: most ask for one, some mean nothing, some we answer. */
import type { GatewayError } from '../errors.ts';
import { Frontend } from '../wire/frames.ts';
import type { Gate } from './gate.ts';
import type { Ledger } from './ledger.ts';

/** What is asked of the relay. */
export interface VacancyHost {
  readonly ledger: Ledger;
  readonly gate: Gate;
  /** Has the connection sit down again that the session left last, if nobody has used it since. */
  readonly seating: { retake(): boolean };
}

/** `go`: as if one sat there; `drop`: it is dealt with; `ask`: one must be asked for; a number: so many bytes of it first. */
export type Meaning = 'go' | 'drop' | 'ask' | number;

/** Outside of a COPY PostgreSQL ignores them. */
const COPY_LEFTOVERS: ReadonlySet<number> = new Set([
  Frontend.copyData,
  Frontend.copyDone,
  Frontend.copyFail,
]);

/** One per session. */
export class Vacancy {
  readonly #host: VacancyHost;
  #refusal: GatewayError | undefined;

  constructor(host: VacancyHost) {
    this.#host = host;
  }

  /** No connection could be had for the message that asked. */
  refused(error: GatewayError | undefined): void {
    this.#refusal = error;
  }

  /** `there` is what has arrived of a message of `bytes` bytes; as many as `enough` suffice to ask for a connection. */
  meaning(type: number, there: Buffer, bytes: number, enough: number): Meaning {
    const { gate, ledger } = this.#host;
    if (type === Frontend.terminate || gate.discarding) return 'go';
    if (COPY_LEFTOVERS.has(type)) return 'drop';
    if (type === Frontend.flush) {
      ledger.flush();
      return 'drop';
    }
    if (type === Frontend.sync) {
      // Between two transactions there is nothing to synchronize.
      gate.endDiscard();
      return 'drop';
    }
    if (this.#refusal) {
      const refusal = this.#refusal;
      this.#refusal = undefined;
      gate.refuseVacant(type, Buffer.from(there), refusal);
      return 'drop';
    }
    if (gate.answersAlone(type, there)) return 'go';
    const needed = Math.min(bytes, enough);
    if (there.length < needed) return needed;
    return this.#host.seating.retake() ? 'go' : 'ask';
  }
}

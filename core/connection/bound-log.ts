/** A session's log: each line says which session it is, and whose as soon as that is known. */
import type { Identity } from '../facts.ts';
import { strangersLog } from '../gateway/log.ts';
import type { PinoLogger } from '../gateway/log.ts';

/** One per session, and free until something is logged. Until somebody is logged in, its lines are those of a stranger. */
export class BoundLog {
  readonly #root: PinoLogger;
  readonly #session: string;
  #subject: string | undefined;
  #known = false;
  #log: PinoLogger | undefined;

  constructor(root: PinoLogger, session: string) {
    this.#root = root;
    this.#session = session;
  }

  /** The log as of now; `known` once the client is logged in. */
  of(identity: Identity | undefined, known: boolean): PinoLogger {
    const { issuer, subject } = identity ?? {};
    if (this.#log && subject === this.#subject && known === this.#known) return this.#log;
    this.#subject = subject;
    this.#known = known;
    const bindings = { session: this.#session, ...(identity && { issuer, subject }) };
    this.#log = known ? this.#root.child(bindings) : strangersLog(this.#root, bindings);
    return this.#log;
  }
}

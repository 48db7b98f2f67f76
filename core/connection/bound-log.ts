/** A session's log: each line has the session's id, and its identity as soon as that is known. */
import type { Identity } from '../facts.ts';
import { strangersLog } from '../gateway/log.ts';
import type { PinoLogger } from '../gateway/log.ts';

/** One per session; costs nothing until a line is logged. Lines before the end of the login are limited like those of unknown clients. */
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

  /** The log with the present bindings; `known` once the client is logged in. */
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

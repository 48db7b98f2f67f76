/** A session's log: each line has the session's id, and its identity as soon as that is known. */
import type { Identity } from '../contract/facts.ts';
import { unauthenticatedLog } from '../telemetry/log.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import type { Logger, SessionState } from '../contract/session.ts';

/** The session, as far as its lines say who it is. */
export interface BoundTo {
  readonly id: string;
  readonly state: SessionState;
  readonly facts: { readonly identity?: Identity };
}

/**
 * One per session; makes no logger until a line is written that its level lets pass. Lines before the end of the login are
 * limited like those of unknown clients.
 */
export class BoundLog implements Logger {
  readonly #root: PinoLogger;
  readonly #session: BoundTo;
  #subject: string | undefined;
  #known = false;
  #log: PinoLogger | undefined;

  constructor(root: PinoLogger, session: BoundTo) {
    this.#root = root;
    this.#session = session;
  }

  /** Lines of level info are written. */
  get tellsInfo(): boolean {
    return this.#root.isLevelEnabled('info');
  }

  info(fields: object, message: string): void {
    if (this.#root.isLevelEnabled('info')) this.#bound().info(fields, message);
  }

  warn(fields: object, message: string): void {
    if (this.#root.isLevelEnabled('warn')) this.#bound().warn(fields, message);
  }

  error(fields: object, message: string): void {
    if (this.#root.isLevelEnabled('error')) this.#bound().error(fields, message);
  }

  #bound(): PinoLogger {
    const { id: session, state, facts } = this.#session;
    const { issuer, subject } = facts.identity ?? {};
    const known = state !== 'starting';
    if (this.#log && subject === this.#subject && known === this.#known) return this.#log;
    this.#subject = subject;
    this.#known = known;
    const bindings = { session, ...(facts.identity && { issuer, subject }) };
    this.#log = known ? this.#root.child(bindings) : unauthenticatedLog(this.#root, bindings);
    return this.#log;
  }
}

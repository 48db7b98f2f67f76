/** Errors that nobody has caught, for a process that is a gateway: which of them it survives, and what its log says. */
import { randomBytes } from 'node:crypto';
import { describe } from '../client/refuse.ts';
import { unauthenticatedLog } from '../telemetry/log.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import { pluginAtWork } from '../hooks/plugin-calls.ts';

/**
 * Hears of them from its making to {@link StrayErrors.close}. A rejection is logged, whoever caused it, and an exception that
 * comes from a plugin as well: they belong to one call, and everybody else goes on. After any other exception nobody can know
 * what state the gateway is in.
 */
export class StrayErrors {
  /** Resolves with the first one after which the process should end; pending otherwise. */
  readonly fatal: Promise<void>;
  readonly #log: PinoLogger;
  #any = false;
  #toldFatal: () => void = () => {};

  constructor(log: PinoLogger) {
    // Clients can cause them, statement by statement.
    this.#log = unauthenticatedLog(log);
    this.fatal = new Promise((resolve) => (this.#toldFatal = resolve));
    process.on('unhandledRejection', this.#rejected);
    process.on('uncaughtException', this.#thrown);
    // Of a reader that has gone, when Node itself has something to say there.
    process.stderr.on('error', this.#ignored);
  }

  /** Whether there was one after which the process should end. */
  get any(): boolean {
    return this.#any;
  }

  close(): void {
    process.off('unhandledRejection', this.#rejected);
    process.off('uncaughtException', this.#thrown);
    process.stderr.off('error', this.#ignored);
  }

  readonly #rejected = (reason: unknown): void => {
    this.#tell(reason, 'unhandled rejection');
  };

  readonly #thrown = (error: unknown): void => {
    if (this.#tell(error, 'uncaught exception')) return;
    this.#any = true;
    this.#toldFatal();
  };

  readonly #ignored = (): void => {};

  /** Whether it is known to come from a plugin. */
  #tell(error: unknown, message: string): boolean {
    const by = pluginAtWork();
    const errorId = randomBytes(4).toString('hex');
    const from = by && { plugin: by.plugin, hook: by.hook };
    this.#log.error({ errorId, ...from, error: describe(error) }, message);
    return by !== undefined;
  }
}

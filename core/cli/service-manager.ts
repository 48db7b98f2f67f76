/** Tells systemd how far the gateway is, for units with `Type=notify` (sd_notify(3)). */
import { execFile } from 'node:child_process';
import type { PinoLogger } from '../telemetry/log.ts';

/** Node cannot send datagrams to a unix socket; this program of systemd's can. Its unit has to say `NotifyAccess=all`. */
const PROGRAM = 'systemd-notify';
const PATIENCE_MS = 5_000;

/** One per process; says nothing where no service manager asked for it. */
export class ServiceManager {
  readonly #log: PinoLogger;
  /** Messages arrive in the order in which they are told. */
  #told: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(log: PinoLogger) {
    this.#log = log;
  }

  /** Resolves when what was said has been told, or could not be within some seconds. Never rejects. */
  get told(): Promise<void> {
    return this.#told;
  }

  /** Clients are served. */
  ready(): void {
    if (!this.#stopping) this.#tell('READY=1');
  }

  /** The gateway has begun to shut down. */
  stopping(): void {
    this.#stopping = true;
    this.#tell('STOPPING=1');
  }

  #tell(state: string): void {
    if (process.env['NOTIFY_SOCKET'] === undefined) return;
    this.#told = this.#told.then(
      () =>
        new Promise((resolve) => {
          execFile(PROGRAM, [state], { timeout: PATIENCE_MS }, (error) => {
            if (error) this.#log.warn({ state, reason: error.message }, 'systemd could not be told');
            resolve();
          });
        }),
    );
  }
}

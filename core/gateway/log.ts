/** The gateway's log: JSON lines on standard output, without secrets. */
import pino from 'pino';
import type { DestinationStream, Logger as PinoLogger } from 'pino';
import type { GatewayConfig } from '../config.ts';

export type { PinoLogger };

/** Keys whose values never reach the log, also one level down. */
const SECRET_KEYS = ['token', 'password', 'secret', 'authorization', 'key', 'passwords'];

/** What JSON leaves as it is, and terminals and readers of lines obey: DEL and C1, line separators, directions. */
const OBEYED = /[\u007f-\u009f\u2028\u2029\p{Bidi_Control}]/gu;

/** They stand inside of JSON texts only, where an escape means the same. */
function escaped(line: string): string {
  return line.replace(OBEYED, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Makes the root logger. `to` is standard output by default; level `silent` writes nothing. */
export function createLogger(
  level: NonNullable<GatewayConfig['logLevel']>,
  to?: DestinationStream,
): PinoLogger {
  const options = {
    level,
    base: {},
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`]), censor: '[secret]' },
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: { streamWrite: escaped },
  };
  return to ? pino(options, to) : pino(options);
}

/** Lets through so many log lines per second and counts the rest: a flood of garbage must not become a flood of lines. */
export class LogSampler {
  readonly #perSecond: number;
  #second = 0;
  #written = 0;
  #suppressed = 0;

  /** @param perSecond default 5 */
  constructor(perSecond = 5) {
    this.#perSecond = perSecond;
  }

  /** Calls `write` with the number of lines suppressed since the last one written, or counts one more. */
  line(write: (suppressed: number) => void): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#written = 0;
    }
    if (this.#written >= this.#perSecond) {
      this.#suppressed += 1;
      return;
    }
    this.#written += 1;
    write(this.#suppressed);
    this.#suppressed = 0;
  }
}

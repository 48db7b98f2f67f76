/** The gateway's log: JSON lines on standard output, without secrets. */
import type { Writable } from 'node:stream';
import pino from 'pino';
import type { DestinationStream, Logger as PinoLogger, LoggerOptions } from 'pino';
import type { GatewayConfig } from '../contract/config.ts';
import { LogOutput } from './log-output.ts';
import { LogSampler, SPAN_MS } from './log-sampler.ts';

export type { PinoLogger };

/** Keys whose values never reach the log, also one level down. */
const SECRET_KEYS = ['token', 'password', 'secret', 'authorization', 'key', 'passwords'];

/** What JSON leaves as it is, and terminals and readers of lines obey: DEL and C1, line separators, directions. */
const OBEYED = /[\u007f-\u009f\u2028\u2029\p{Bidi_Control}]/gu;

/** They stand inside of JSON texts only, where an escape means the same. */
function escaped(line: string): string {
  return line.replace(OBEYED, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Where strangers are heard of: more than warnings can be had there for nothing. */
const strangers = new WeakSet<PinoLogger>();
let standardOutput: LogOutput | undefined;
const samplers = new WeakMap<PinoLogger, LogSampler>();
const WARN = pino.levels.values['warn'];

/**
 * Makes the root logger. `to` is standard output by default, see {@link LogOutput}; `bindings` stand in each line; level `silent` writes nothing. Of warnings, and of what is
 * written by {@link unauthenticatedLog}, the first hundred with one text are written in ten seconds, then one line that says how
 * many were left out; level `debug` has them all.
 */
export function createLogger(
  level: NonNullable<GatewayConfig['logLevel']>,
  to?: DestinationStream,
  bindings: object = {},
): PinoLogger {
  const sampler = new LogSampler(({ suppressed, ...of }) => {
    log.info({ suppressed, of, seconds: SPAN_MS / 1_000 }, 'log lines left out');
  });
  const options: LoggerOptions = {
    level,
    base: bindings,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`]), censor: '[secret]' },
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: {
      streamWrite: escaped,
      ...(level !== 'debug' && {
        logMethod(args, write, of) {
          const sampled = of === WARN || strangers.has(this);
          const text = args[1] ?? '';
          if (!sampled || sampler.passes(pino.levels.labels[of] ?? '', text)) write.apply(this, args);
        },
      }),
    },
  };
  const log = pino(options, to ?? (standardOutput ??= new LogOutput()));
  samplers.set(log, sampler);
  return log;
}

/** A log for what anybody can cause who has not logged in: its lines of all levels are sampled as warnings are. */
export function unauthenticatedLog(log: PinoLogger, bindings: object = {}): PinoLogger {
  const made = log.child(bindings);
  strangers.add(made);
  return made;
}

/** Standard output is this one from now on, for the log and for all who write to `process.stdout`. */
export function replaceOutput(to: Writable & { readonly fd: number }): void {
  Object.defineProperty(process, 'stdout', { value: to, configurable: true, enumerable: true });
  standardOutput?.goOn(to);
}

/** Says now what was left out: the last word of a log that {@link createLogger} made. */
export function tellLeftOut(log: PinoLogger): void {
  samplers.get(log)?.flush();
}

/** Resolves when the lines written so far have been taken, where that can be known. */
export function flushed(log: PinoLogger): Promise<void> {
  return new Promise((resolve) => log.flush(() => resolve()));
}

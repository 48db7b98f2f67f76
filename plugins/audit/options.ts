/** What `audit()` may be told. */
import {
  badOption,
  readChoice,
  readDuration,
  readFlag,
  readHttpUrl,
  readInteger,
  readObject,
  readSecret,
} from '../../core/index.ts';
import type { Duration } from '../../core/index.ts';
import type { Texts } from './record.ts';
import type { SyncPolicy } from './syncing.ts';

/** When a file is followed by the next one. */
export interface RotateOptions {
  /**
   * Bytes after which another file begins, as near as whole writes allow.
   *
   * @defaultValue `104857600`
   * @example size: 10_485_760
   */
  readonly size?: number;
  /**
   * Time after which another file begins, with the next event.
   *
   * @defaultValue none: files may be of any age
   * @example age: '1d'
   */
  readonly age?: Duration;
  /**
   * How many full files stay.
   *
   * @defaultValue all
   * @example keep: 400
   */
  readonly keep?: number;
}

/** Lines in a file, each signed by what came before. */
export interface FileSinkOptions {
  /**
   * For a file: its path, relative to the config file. With several workers each has one of its own: `audit.w2.jsonl` for `audit.jsonl`.
   *
   * @example file: 'audit/audit.jsonl'
   */
  readonly file: string;
  /**
   * For a file: when lines are on the disk for sure. `'always'` with each write, a duration for that long after it, `'never'` for whenever the
   * operating system writes them.
   *
   * @defaultValue `'1s'`
   * @example fsync: 'always'
   */
  readonly fsync?: Duration | 'always' | 'never';
  /**
   * For a file: when it is renamed and another one begins.
   *
   * @defaultValue at 100 MiB
   * @example rotate: { age: '1d', keep: 400 }
   */
  readonly rotate?: RotateOptions;
}

/** Log records for an OpenTelemetry collector. */
export interface OtlpSinkOptions {
  /**
   * For an OpenTelemetry collector: its address for logs (OTLP over HTTP).
   *
   * @example otlp: 'https://collector.example/v1/logs'
   */
  readonly otlp: string;
  /**
   * For a collector: headers of each request. A function, such as `file('…')`, is asked for each.
   *
   * @defaultValue none
   * @example headers: { authorization: env('OTLP_TOKEN') }
   */
  readonly headers?: Readonly<Record<string, string | (() => string)>>;
}

/**
 * Options of the `audit` plugin. A change of `sink` or `key` needs another sink, or a restart.
 *
 * @reload new sessions
 */
export interface AuditOptions {
  /**
   * Where lines go: standard output, a file, or an OpenTelemetry collector.
   *
   * @reload needs a restart
   * @example sink: { file: 'audit/audit.jsonl' }
   */
  readonly sink: 'stdout' | FileSinkOptions | OtlpSinkOptions;
  /**
   * How much of a statement is written: `'sanitised'` with `?` for its literals and without comments, `'whole'` as it was sent, `'none'` without
   * its text.
   *
   * @defaultValue `'sanitised'`
   * @example statements: 'whole'
   */
  readonly statements?: Texts;
  /**
   * Whether the values of parameters are written as well. Statements are then held until they are complete, up to `maxStatementBytes`.
   *
   * @defaultValue `false`
   * @example parameters: true
   */
  readonly parameters?: boolean;
  /**
   * What happens while the sink fails: `'failClosed'` ends sessions (57P01) and refuses logins (57P03), `'buffer'` lets sessions go on.
   *
   * @defaultValue `'failClosed'`
   * @example onFailure: 'buffer'
   */
  readonly onFailure?: 'failClosed' | 'buffer';
  /**
   * How many bytes of events may wait for a sink that fails. Further events are dropped, and a line says how many they were.
   *
   * @defaultValue `16777216`
   * @example bufferBytes: 67_108_864
   */
  readonly bufferBytes?: number;
  /**
   * A secret of 32 bytes or more, without which nobody can make lines that fit the chain.
   *
   * @defaultValue none: whoever may write to the files can compute the hashes anew
   * @reload needs a restart
   * @example key: file('audit.key')
   */
  readonly key?: string | (() => string);
}

/** A file, checked. */
export interface FileOptions {
  readonly file: string;
  readonly fsync: SyncPolicy;
  readonly rotate: {
    readonly size: number;
    readonly ageMs: number | undefined;
    readonly keep: number | undefined;
  };
}

/** A collector, checked. */
export interface OtlpOptions {
  readonly url: string;
  readonly headers: () => Readonly<Record<string, string>>;
}

/** The options, checked. */
export interface Checked {
  readonly sink: 'stdout' | FileOptions | OtlpOptions;
  readonly statements: Texts;
  readonly parameters: boolean;
  readonly failClosed: boolean;
  readonly bufferBytes: number;
  /** @throws ConfigError for one that is too short */
  readonly key: (() => string) | undefined;
}

/** NIST SP 800-107 §5.3.4: a key shorter than the hash's output weakens it. */
const SHORTEST_KEY_BYTES = 32;

/** A timer of Node takes no longer one. */
const LONGEST_MS = 24 * 86_400_000;

function duration(path: string, value: unknown): number {
  return readDuration(path, value, { mostMs: LONGEST_MS });
}

function fileOf(given: unknown): FileOptions {
  const path = 'audit.sink';
  const {
    file,
    fsync = '1s',
    rotate = {},
  } = readObject<FileSinkOptions>(path, given, ['file', 'fsync', 'rotate']);
  if (typeof file !== 'string' || file === '') badOption(`${path}.file`, 'the path of a file is needed');
  const own = readObject<RotateOptions>(`${path}.rotate`, rotate, ['size', 'age', 'keep']);
  const { size = 104_857_600, age, keep } = own;
  return {
    file,
    fsync: fsync === 'always' || fsync === 'never' ? fsync : duration(`${path}.fsync`, fsync),
    rotate: {
      size: readInteger(`${path}.rotate.size`, size, { of: 'bytes' }),
      ageMs: age === undefined ? undefined : duration(`${path}.rotate.age`, age),
      keep: keep === undefined ? undefined : readInteger(`${path}.rotate.keep`, keep, { least: 0 }),
    },
  };
}

function otlpOf(given: unknown): OtlpOptions {
  const path = 'audit.sink';
  const { otlp, headers = {} } = readObject<OtlpSinkOptions>(path, given, ['otlp', 'headers']);
  const { href: url } = readHttpUrl(`${path}.otlp`, otlp, 'https://collector.example/v1/logs');
  const own = Object.entries(
    readObject<Record<string, unknown>>(`${path}.headers`, headers, Object.keys(headers)),
  );
  for (const [name, value] of own) {
    if (typeof value !== 'string' && typeof value !== 'function')
      badOption(`${path}.headers.${name}`, 'a text is needed');
  }
  const valueOf = (value: unknown): string => String(typeof value === 'function' ? value() : value);
  return { url, headers: () => Object.fromEntries(own.map(([name, value]) => [name, valueOf(value)])) };
}

function sinkOf(given: unknown): Checked['sink'] {
  if (given === 'stdout') return given;
  if (typeof given !== 'object' || given === null) {
    return badOption('audit.sink', "'stdout', { file } or { otlp } is needed");
  }
  return 'otlp' in given ? otlpOf(given) : fileOf(given);
}

/** Checks the options. @throws ConfigError that names the option, such as `audit.sink.rotate.size` */
export function optionsOf(given: unknown): Checked {
  const known = ['sink', 'statements', 'parameters', 'onFailure', 'bufferBytes', 'key'] as const;
  const options = readObject<AuditOptions>('audit', given, known);
  const { parameters = false, bufferBytes = 16_777_216, key } = options;
  const { statements = 'sanitised', onFailure = 'failClosed' } = options;
  return {
    sink: sinkOf(options.sink),
    statements: readChoice('audit.statements', statements, ['sanitised', 'whole', 'none']),
    parameters: readFlag('audit.parameters', parameters),
    failClosed: readChoice('audit.onFailure', onFailure, ['failClosed', 'buffer']) === 'failClosed',
    bufferBytes: readInteger('audit.bufferBytes', bufferBytes, { least: 65_536, of: 'bytes' }),
    key: key === undefined ? undefined : readSecret('audit.key', key, SHORTEST_KEY_BYTES),
  };
}

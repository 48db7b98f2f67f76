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
  /** Bytes, as near as whole writes allow. Default 104857600. */
  readonly size?: number;
  /** Default: files are as old as they get. */
  readonly age?: Duration;
  /** How many full files stay. Default: all. */
  readonly keep?: number;
}

/** Lines in a file, each signed by what came before. */
export interface FileSinkOptions {
  /** Relative to the config file; its folder must be there. */
  readonly file: string;
  /** When lines are on the disk for sure: `'always'` with each write, `'never'`, or so long after it. Default `'1s'`. */
  readonly fsync?: Duration | 'always' | 'never';
  /** Default: at 100 MiB. */
  readonly rotate?: RotateOptions;
}

/** Log records for an OpenTelemetry collector. */
export interface OtlpSinkOptions {
  /** The address for logs, usually `https://…/v1/logs`. */
  readonly otlp: string;
  /** Headers of each request; a function, such as `env('…')` or `file('…')`, is asked for each. Default: none. */
  readonly headers?: Readonly<Record<string, string | (() => string)>>;
}

/** Options of the `audit` plugin. A change of `sink` or `key` needs another sink, or a restart. */
export interface AuditOptions {
  readonly sink: 'stdout' | FileSinkOptions | OtlpSinkOptions;
  /** SQL with `?` for its literals, as it was sent, or not at all. Default `'sanitised'`. */
  readonly statements?: Texts;
  /** The values of parameters of the extended protocol as well. Default false. */
  readonly parameters?: boolean;
  /**
   * What happens while the sink fails: `'failClosed'` ends sessions (57P01) and refuses logins (57P03), `'buffer'` lets
   * them go on. Default `'failClosed'`.
   */
  readonly onFailure?: 'failClosed' | 'buffer';
  /** How many bytes of events may wait for the sink; what comes on top is dropped and counted. Default 16777216. */
  readonly bufferBytes?: number;
  /** A secret of 32 bytes or more: without it nobody can make lines that fit. Default: everybody can who may write there. */
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

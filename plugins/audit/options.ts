/** What `audit()` may be told. */
import { ConfigError, milliseconds } from '../../core/index.ts';
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

function bad(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

function objectOf<T extends object>(path: string, value: unknown, known: readonly (keyof T & string)[]): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) bad(path, 'an object is needed');
  const stranger = Object.keys(value).find((name) => !(known as readonly string[]).includes(name));
  if (stranger !== undefined) bad(`${path}.${stranger}`, `no such option; there are ${known.join(', ')}`);
  return value as T;
}

function oneOf<T extends string>(path: string, value: unknown, known: readonly T[]): T {
  if (value === undefined && known[0] !== undefined) return known[0];
  const found = known.find((one) => one === value);
  return found ?? bad(path, `one of ${known.map((one) => `'${one}'`).join(', ')} is needed`);
}

function count(path: string, value: unknown, least: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
  return bad(path, `a whole number from ${least} is needed`);
}

function duration(path: string, value: unknown): number {
  try {
    const ms = milliseconds(value as Duration);
    if (ms >= 1 && ms < 2 ** 31) return Math.ceil(ms);
  } catch {
    // Said below.
  }
  return bad(path, "a duration such as '1d' is needed, of at most 24 days");
}

function fileOf(given: unknown): FileOptions {
  const path = 'audit.sink';
  const {
    file,
    fsync = '1s',
    rotate = {},
  } = objectOf<FileSinkOptions>(path, given, ['file', 'fsync', 'rotate']);
  if (typeof file !== 'string' || file === '') bad(`${path}.file`, 'the path of a file is needed');
  const own = objectOf<RotateOptions>(`${path}.rotate`, rotate, ['size', 'age', 'keep']);
  const { size = 104_857_600, age, keep } = own;
  return {
    file,
    fsync: fsync === 'always' || fsync === 'never' ? fsync : duration(`${path}.fsync`, fsync),
    rotate: {
      size: count(`${path}.rotate.size`, size, 1),
      ageMs: age === undefined ? undefined : duration(`${path}.rotate.age`, age),
      keep: keep === undefined ? undefined : count(`${path}.rotate.keep`, keep, 0),
    },
  };
}

function otlpOf(given: unknown): OtlpOptions {
  const path = 'audit.sink';
  const { otlp, headers = {} } = objectOf<OtlpSinkOptions>(path, given, ['otlp', 'headers']);
  if (typeof otlp !== 'string' || !URL.canParse(otlp) || !/^https?:$/.test(new URL(otlp).protocol)) {
    bad(`${path}.otlp`, "an address such as 'https://collector.example/v1/logs' is needed");
  }
  const { username, password } = new URL(otlp);
  if (username !== '' || password !== '') bad(`${path}.otlp`, 'no user and password: put them into headers');
  const own = Object.entries(
    objectOf<Record<string, unknown>>(`${path}.headers`, headers, Object.keys(headers)),
  );
  for (const [name, value] of own) {
    if (typeof value !== 'string' && typeof value !== 'function')
      bad(`${path}.headers.${name}`, 'a text is needed');
  }
  const valueOf = (value: unknown): string => String(typeof value === 'function' ? value() : value);
  return { url: otlp, headers: () => Object.fromEntries(own.map(([name, value]) => [name, valueOf(value)])) };
}

function sinkOf(given: unknown): Checked['sink'] {
  if (given === 'stdout') return given;
  if (typeof given !== 'object' || given === null) {
    return bad('audit.sink', "'stdout', { file } or { otlp } is needed");
  }
  return 'otlp' in given ? otlpOf(given) : fileOf(given);
}

function longEnough(key: unknown): string {
  if (typeof key === 'string' && Buffer.byteLength(key) >= SHORTEST_KEY_BYTES) return key;
  return bad('audit.key', `a secret of at least ${SHORTEST_KEY_BYTES} bytes is needed: openssl rand -hex 32`);
}

function keyOf(key: AuditOptions['key']): Checked['key'] {
  if (key === undefined) return undefined;
  if (typeof key === 'function') return () => longEnough(key());
  longEnough(key);
  return () => key;
}

/** Checks the options. @throws ConfigError that names the option, such as `audit.sink.rotate.size` */
export function optionsOf(given: unknown): Checked {
  const known = ['sink', 'statements', 'parameters', 'onFailure', 'bufferBytes', 'key'] as const;
  const options = objectOf<AuditOptions>('audit', given, known);
  const { parameters = false, bufferBytes = 16_777_216 } = options;
  if (typeof parameters !== 'boolean') bad('audit.parameters', 'true or false is needed');
  return {
    sink: sinkOf(options.sink),
    statements: oneOf('audit.statements', options.statements, ['sanitised', 'whole', 'none']),
    parameters,
    failClosed: oneOf('audit.onFailure', options.onFailure, ['failClosed', 'buffer']) === 'failClosed',
    bufferBytes: count('audit.bufferBytes', bufferBytes, 65_536),
    key: keyOf(options.key),
  };
}

/** What `limits()` may be told. A reload applies it to new sessions. */
import { ConfigError, milliseconds } from '../../core/index.ts';
import type { AccessWindow, Duration } from '../../core/index.ts';
import { isTime, isZone } from './windows.ts';

/** How many sessions may be open at once, those that are logging in included. */
export interface MaxConnectionsOptions {
  /** For one subject of one issuer. Default: no limit. */
  readonly subject?: number;
  /** For one tenant; sessions without one are not counted. Default: no limit. */
  readonly tenant?: number;
  /** For one role, in all databases together. Default: no limit. */
  readonly role?: number;
  /** For one entry of `databases`. Default: no limit. */
  readonly database?: number;
}

/** Time-outs that PostgreSQL keeps, pinned in each server connection's startup packet (manual, 19.11.1). */
export interface TimeoutsOptions {
  /** `statement_timeout`. Default: the server's. */
  readonly statement?: Duration;
  /** `lock_timeout`. Default: the server's. */
  readonly lock?: Duration;
  /** `idle_in_transaction_session_timeout`; the gateway keeps it as well, whatever a client sets. Default: the server's. */
  readonly idleInTransaction?: Duration;
}

/** Options of the `limits` plugin. A token's own rules narrow them and never widen them. */
export interface LimitsOptions {
  /** Default: no limits but those of tokens. */
  readonly maxConnections?: MaxConnectionsOptions;
  /** When sessions are welcome; outside of every window logins are refused, and a session ends when its window closes. Default: always. */
  readonly windows?: readonly AccessWindow[];
  /** How long a session may last. Default: no limit but the token's. */
  readonly maxSession?: Duration;
  /** How long a session may do nothing outside of a transaction. Default: no limit. */
  readonly idle?: Duration;
  /** Default: the server's. */
  readonly timeouts?: TimeoutsOptions;
}

/** The options, checked; durations in milliseconds. */
export interface Limits {
  readonly maxConnections: MaxConnectionsOptions;
  readonly windows: readonly AccessWindow[] | undefined;
  readonly maxSessionMs: number | undefined;
  readonly idleMs: number | undefined;
  readonly idleInTransactionMs: number | undefined;
  /** Settings to pin, by PostgreSQL's names. */
  readonly settings: Readonly<Record<string, string>>;
}

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
/** PostgreSQL counts its time-outs in 32-bit milliseconds (manual, 19.11.1). */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

function bad(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

function objectOf<T extends object>(path: string, value: unknown, known: readonly (keyof T & string)[]): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) bad(path, 'an object is needed');
  const stranger = Object.keys(value).find((name) => !(known as readonly string[]).includes(name));
  if (stranger !== undefined) bad(`${path}.${stranger}`, `no such option; there are ${known.join(', ')}`);
  return value as T;
}

function duration(path: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string') bad(path, "a duration such as '10m' is needed");
  let ms: number;
  try {
    ms = milliseconds(value);
  } catch (error) {
    return bad(path, error instanceof Error ? error.message : 'no duration');
  }
  return ms >= 1 ? Math.ceil(ms) : bad(path, 'at least a millisecond is needed; leave it out for no limit');
}

function count(path: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  return Number.isSafeInteger(value) && (value as number) > 0
    ? (value as number)
    : bad(path, 'a whole number from 1 is needed; leave it out for no limit');
}

function maxConnectionsOf(given: unknown): MaxConnectionsOptions {
  const path = 'limits.maxConnections';
  const names = ['subject', 'tenant', 'role', 'database'] as const;
  const options = objectOf<MaxConnectionsOptions>(path, given ?? {}, names);
  const entries = names.map((name) => [name, count(`${path}.${name}`, options[name])] as const);
  return Object.fromEntries(entries.filter(([, limit]) => limit !== undefined));
}

function windowOf(path: string, given: unknown): AccessWindow {
  const { days, from, to, tz } = objectOf<AccessWindow>(path, given, ['days', 'from', 'to', 'tz']);
  if (!Array.isArray(days) || days.length === 0) bad(`${path}.days`, 'a list of days is needed');
  const wrong = (days as readonly unknown[]).findIndex(
    (day) => typeof day !== 'string' || !DAYS.includes(day),
  );
  if (wrong >= 0) bad(`${path}.days[${wrong}]`, `expected one of ${DAYS.join(', ')}`);
  if (!isTime(from) || from === '24:00') bad(`${path}.from`, 'a time HH:MM is needed');
  if (!isTime(to)) bad(`${path}.to`, 'a time HH:MM is needed, at most 24:00');
  if (from === to) bad(`${path}.to`, `from and to are the same; a whole day is from '00:00' to '24:00'`);
  if (!isZone(tz)) bad(`${path}.tz`, "an IANA time zone such as 'Europe/Berlin' is needed");
  return { days, from, to, tz };
}

function windowsOf(given: unknown): readonly AccessWindow[] | undefined {
  if (given === undefined) return undefined;
  if (!Array.isArray(given) || given.length === 0) bad('limits.windows', 'a list of windows is needed');
  return (given as readonly unknown[]).map((item, index) => windowOf(`limits.windows[${index}]`, item));
}

function settingsOf(given: unknown): Pick<Limits, 'settings' | 'idleInTransactionMs'> {
  const path = 'limits.timeouts';
  const names = {
    statement: 'statement_timeout',
    lock: 'lock_timeout',
    idleInTransaction: 'idle_in_transaction_session_timeout',
  } as const;
  const keys = Object.keys(names) as (keyof TimeoutsOptions)[];
  const options = objectOf<TimeoutsOptions>(path, given ?? {}, keys);
  const settings: Record<string, string> = {};
  for (const key of keys) {
    const ms = duration(`${path}.${key}`, options[key]);
    if (ms === undefined) continue;
    if (ms > LONGEST_TIMEOUT_MS) bad(`${path}.${key}`, 'at most 24 days: PostgreSQL takes no longer one');
    settings[names[key]] = String(ms);
  }
  const idleInTransactionMs = duration(`${path}.idleInTransaction`, options.idleInTransaction);
  return { settings, idleInTransactionMs };
}

/** Checks the options. @throws ConfigError that names the option, such as `limits.windows[0].tz` */
export function limitsOf(given: unknown): Limits {
  const known = ['maxConnections', 'windows', 'maxSession', 'idle', 'timeouts'] as const;
  const options = objectOf<LimitsOptions>('limits', given ?? {}, known);
  return {
    maxConnections: maxConnectionsOf(options.maxConnections),
    windows: windowsOf(options.windows),
    maxSessionMs: duration('limits.maxSession', options.maxSession),
    idleMs: duration('limits.idle', options.idle),
    ...settingsOf(options.timeouts),
  };
}

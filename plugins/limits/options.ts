/** What `limits()` may be told. A reload applies it to new sessions. */
import { badOption, readChoice, readDuration, readInteger, readList, readObject } from '../../core/index.ts';
import type { AccessWindow, Duration } from '../../core/index.ts';
import { isTime, isZone } from './windows.ts';

/** How many sessions may be open at once, those that are logging in included. */
export interface MaxConnectionsOptions {
  /**
   * The most sessions of one subject of one issuer, those that are logging in included. Further ones are refused with 53300.
   *
   * @defaultValue no limit
   * @example subject: 20
   */
  readonly subject?: number;
  /**
   * The most sessions of one tenant. Sessions without a tenant are not counted.
   *
   * @defaultValue no limit
   * @example tenant: 100
   */
  readonly tenant?: number;
  /**
   * The most sessions of one role, in all databases together.
   *
   * @defaultValue no limit
   * @example role: 200
   */
  readonly role?: number;
  /**
   * The most sessions of one entry of `databases`.
   *
   * @defaultValue no limit
   * @example database: 500
   */
  readonly database?: number;
}

/** Time-outs that PostgreSQL keeps, pinned in each server connection's startup packet (manual, 19.11.1). */
export interface TimeoutsOptions {
  /**
   * PostgreSQL's `statement_timeout`.
   *
   * @defaultValue that of the server
   * @example statement: '1m'
   */
  readonly statement?: Duration;
  /**
   * PostgreSQL's `lock_timeout`.
   *
   * @defaultValue that of the server
   * @example lock: '5s'
   */
  readonly lock?: Duration;
  /**
   * PostgreSQL's `idle_in_transaction_session_timeout`. The gateway keeps it as well, whatever a client sets.
   *
   * @defaultValue that of the server
   * @example idleInTransaction: '5m'
   */
  readonly idleInTransaction?: Duration;
}

/**
 * Options of the `limits` plugin. A token's own rules narrow them and never widen them.
 *
 * @reload new sessions
 */
export interface LimitsOptions {
  /**
   * How many sessions there may be at once.
   *
   * @defaultValue no limits but those of tokens
   * @example maxConnections: { subject: 20, database: 500 }
   */
  readonly maxConnections?: MaxConnectionsOptions;
  /**
   * When sessions are welcome. Outside of all windows logins are refused (28000), and a session ends when its window closes (57P01).
   *
   * @defaultValue always
   * @example windows: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:00', tz: 'Europe/Berlin' }]
   */
  readonly windows?: readonly AccessWindow[];
  /**
   * How long a session may last; then it ends with 57P01.
   *
   * @defaultValue no limit but the token's
   * @example maxSession: '8h'
   */
  readonly maxSession?: Duration;
  /**
   * How long a session may do nothing outside of a transaction; then it ends with 57P05.
   *
   * @defaultValue no limit
   * @example idle: '30m'
   */
  readonly idle?: Duration;
  /**
   * Time-outs that are pinned: they beat `ALTER ROLE … SET`, and `RESET` returns to them. A client may still `SET` another one for itself.
   *
   * @defaultValue those of the server
   * @example timeouts: { statement: '1m', idleInTransaction: '5m' }
   */
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

const DAYS: AccessWindow['days'] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
/** PostgreSQL counts its time-outs in 32-bit milliseconds (manual, 19.11.1). */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

function duration(path: string, value: unknown): number | undefined {
  return value === undefined ? undefined : readDuration(path, value);
}

function maxConnectionsOf(value: unknown): MaxConnectionsOptions {
  const path = 'limits.maxConnections';
  const names = ['subject', 'tenant', 'role', 'database'] as const;
  const options = readObject<MaxConnectionsOptions>(path, value ?? {}, names);
  const given = names.filter((name) => options[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, readInteger(`${path}.${name}`, options[name])]));
}

function windowOf(path: string, given: unknown): AccessWindow {
  const { from, to, tz, ...more } = readObject<AccessWindow>(path, given, ['days', 'from', 'to', 'tz']);
  const days = readList(`${path}.days`, more.days, (at, day) => readChoice(at, day, DAYS), 'days');
  if (!isTime(from) || from === '24:00') badOption(`${path}.from`, 'a time HH:MM is needed');
  if (!isTime(to)) badOption(`${path}.to`, 'a time HH:MM is needed, at most 24:00');
  if (from === to)
    badOption(`${path}.to`, `from and to are the same; a whole day is from '00:00' to '24:00'`);
  if (!isZone(tz)) badOption(`${path}.tz`, "an IANA time zone such as 'Europe/Berlin' is needed");
  return { days, from, to, tz };
}

function windowsOf(given: unknown): readonly AccessWindow[] | undefined {
  return given === undefined ? undefined : readList('limits.windows', given, windowOf, 'windows');
}

function settingsOf(given: unknown): Pick<Limits, 'settings' | 'idleInTransactionMs'> {
  const path = 'limits.timeouts';
  const names = {
    statement: 'statement_timeout',
    lock: 'lock_timeout',
    idleInTransaction: 'idle_in_transaction_session_timeout',
  } as const;
  const keys = Object.keys(names) as (keyof TimeoutsOptions)[];
  const options = readObject<TimeoutsOptions>(path, given ?? {}, keys);
  const settings: Record<string, string> = {};
  for (const key of keys) {
    const ms = duration(`${path}.${key}`, options[key]);
    if (ms === undefined) continue;
    if (ms > LONGEST_TIMEOUT_MS)
      badOption(`${path}.${key}`, 'at most 24 days: PostgreSQL takes no longer one');
    settings[names[key]] = String(ms);
  }
  const idleInTransactionMs = duration(`${path}.idleInTransaction`, options.idleInTransaction);
  return { settings, idleInTransactionMs };
}

/** Checks the options. @throws ConfigError that names the option, such as `limits.windows[0].tz` */
export function limitsOf(given: unknown): Limits {
  const known = ['maxConnections', 'windows', 'maxSession', 'idle', 'timeouts'] as const;
  const options = readObject<LimitsOptions>('limits', given ?? {}, known);
  return {
    maxConnections: maxConnectionsOf(options.maxConnections),
    windows: windowsOf(options.windows),
    maxSessionMs: duration('limits.maxSession', options.maxSession),
    idleMs: duration('limits.idle', options.idle),
    ...settingsOf(options.timeouts),
  };
}
